"""`mda policy`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from detector import errors
from detector.commands import base, detectors

if TYPE_CHECKING:
    from detector import client, config


def add(commands: base.Commands) -> None:
    """The verbs of `mda policy`."""
    verbs = commands.group("policy", "Policies: what must hold, and what is to happen.")
    text = "Check policy files; with promtool on PATH, run the tests of their rules."
    validate = verbs.add("validate", _validate, text)
    validate.add_argument(
        "paths", type=Path, metavar="PATH", nargs="+", help="YAML or JSON files, or folders of them"
    )
    validate.add_argument(
        "--out", type=Path, metavar="DIR", help="write the rule files and their tests there"
    )
    validate.add_argument("--show", action="store_true", help="print the rules")
    validate.add_argument("--json", action="store_true", help="the result as one JSON object")
    text = "What policies would have fired on past samples, and which actions they asked for."
    put = verbs.add("preview", _preview, text).add_argument
    put("paths", type=Path, metavar="PATH", nargs="+", help="YAML or JSON files, or folders")
    put("--days", type=float, default=7.0, metavar="N", help="how far back (default: 7)")
    put("--step", metavar="TIME", help="between evaluations (default: METRIC_COLLECTION_INTERVAL)")
    put("--png", type=Path, metavar="FILE", help="a picture of when each series fired")
    put("--json", action="store_true", help="the result as one JSON object")
    text = "Print the JSON Schema of policies, for editors and checks of your own."
    verbs.add("schema", _schema, text)
    _add_remote(verbs)


def _add_remote(verbs: base.Commands) -> None:
    text = "Make a running detector's policies what files say: all of them or none."
    apply = detectors.add(verbs, "apply", _apply, text)
    _add_files(apply)
    apply.add_argument("--dry-run", action="store_true", help="print the plan, do nothing")
    text = "Print what applying would change; exit 1 if that is anything."
    _add_files(detectors.add(verbs, "diff", _diff, text))
    text = "List a running detector's policies."
    listed = detectors.add(verbs, "list", _list, text)
    listed.add_argument("--text", metavar="TEXT", help="part of the name")
    listed.add_argument("--deleted", action="store_true", help="the deleted ones instead")
    _add_one(verbs, "show", _show, "Print one policy, and how it fares.")
    text = "All that a policy has been, newest first: which revision, what was done, by whom."
    history = _add_one(verbs, "history", _history, text)
    history.add_argument(
        "--diff", type=int, nargs=2, metavar=("A", "B"), help="of two revisions; exit 1 if any"
    )
    _add_change(verbs, "enable", _enable, "Have a policy evaluated.")
    _add_change(verbs, "disable", _disable, "Keep a policy, but have it evaluated no more.")
    _add_change(verbs, "delete", _delete, "Delete a policy; its revisions are kept.")
    restore = _add_change(verbs, "restore", _restore, "Make a policy what it was at a revision.")
    restore.add_argument("number", type=int, metavar="REVISION", help="as history tells it")


def _add_one(
    verbs: base.Commands, name: str, command: base.Command, text: str
) -> argparse.ArgumentParser:
    sub = detectors.add(verbs, name, command, text)
    sub.add_argument("policy", metavar="ID|NAME", help="as list tells it; #7 is an id")
    return sub


def _add_change(
    verbs: base.Commands, name: str, command: base.Command, text: str
) -> argparse.ArgumentParser:
    sub = _add_one(verbs, name, command, text)
    sub.add_argument(
        "--revision", type=int, metavar="N", help="refuse if there is a newer one than that"
    )
    return sub


def _add_files(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("paths", type=Path, metavar="PATH", nargs="*", help="files or folders")
    sub.add_argument(
        "-f",
        "--file",
        dest="files",
        type=Path,
        metavar="PATH",
        action="append",
        default=[],
        help="the same, as kubectl has it",
    )
    sub.add_argument("--prune", action="store_true", help="delete policies that no file names")


def _schema(_: config.Settings, __: argparse.Namespace) -> int:
    import json

    from detector.policy import documents

    print(json.dumps(documents.json_schema(), indent=2))
    return base.OK


def _validate(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector.policies import validating

    options = validating.Options(tuple(arguments.paths), arguments.out)
    found = validating.run(settings, options, now=base.now())
    if arguments.show:
        print("\n".join(each.rules_text for each in found.policies), end="")
    elif arguments.json:
        print(json.dumps(found.summary()))
    else:
        print(*found.lines(), sep="\n")
    return base.OK


def _preview(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector.policies import preview, preview_text
    from detector.stack import terminal

    options = preview.Options(tuple(arguments.paths), arguments.days, arguments.step)
    found = preview.run(settings, options, now=base.now())
    if arguments.png is not None:
        from detector.policies import picture

        picture.write(arguments.png, [each.found for each in found])
    if arguments.json:
        print(json.dumps({"policies": [preview_text.summary_of(each) for each in found]}))
        return base.OK
    console = terminal.console()
    for number, each in enumerate(found):
        lines = preview_text.lines(each, console.width, encoding=console.encoding)
        console.print(*[""] * (number > 0), *lines, sep="\n", soft_wrap=True)
    return base.OK


def _apply(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector.policies import remote

    manager = detectors.connect(settings, arguments)
    wanted = _documents(arguments)
    planned = manager.apply(wanted, prune=arguments.prune, dry_run=True)
    done = not arguments.dry_run and remote.is_change(planned)
    if not arguments.json:
        print(*remote.plan_lines(planned, is_done=False), sep="\n")
    if done:
        planned = manager.apply(wanted, prune=arguments.prune)
    if arguments.json:
        print(json.dumps(remote.summary(planned, applied=done)))
    elif done:
        print(*remote.plan_lines(planned, is_done=True), sep="\n")
    return base.OK


def _diff(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector.policies import remote

    manager = detectors.connect(settings, arguments)
    planned = manager.apply(_documents(arguments), prune=arguments.prune, dry_run=True)
    if arguments.json:
        print(json.dumps(remote.summary(planned, applied=False)))
    else:
        print(*remote.plan_lines(planned, is_done=False), sep="\n")
    return base.FAILED if remote.is_change(planned) else base.OK


def _documents(arguments: argparse.Namespace) -> list[Mapping[str, object]]:
    from detector.policies import remote

    paths = [*arguments.paths, *arguments.files]
    if not paths:
        raise errors.ConfigError("policy: no files: name some, or a folder of them")
    return remote.read(paths)


def _list(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import dataclasses
    import json

    from detector.policies import remote
    from detector.stack import terminal

    manager = detectors.connect(settings, arguments)
    found = manager.list_policies(text=arguments.text, deleted=arguments.deleted)
    if arguments.json:
        told = [dataclasses.asdict(each) for each in found]
        print(json.dumps({"policies": told}, default=str))
    else:
        print(terminal.table_of(remote.HEADS, remote.list_rows(found)))
    return base.OK


def _show(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector.policies import remote

    manager = detectors.connect(settings, arguments)
    state = manager.state(remote.find(manager, arguments.policy))
    if arguments.json:
        print(json.dumps(state))
    else:
        print(*remote.show_lines(state), sep="\n")
    return base.OK


def _history(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import dataclasses
    import json

    from detector.policies import remote
    from detector.stack import terminal

    manager = detectors.connect(settings, arguments)
    policy_id = remote.find(manager, arguments.policy, deleted_too=True)
    if arguments.diff is not None:
        text = manager.diff(policy_id, *arguments.diff)
        if text or arguments.json:
            print(json.dumps({"text": text}) if arguments.json else text)
        return base.FAILED if text else base.OK
    found = manager.revisions(policy_id)
    if arguments.json:
        told = [dataclasses.asdict(each) for each in found]
        print(json.dumps({"revisions": told}, default=str))
    else:
        print(terminal.table_of(remote.HISTORY_HEADS, remote.history_rows(found)))
    return base.OK


def _enable(settings: config.Settings, arguments: argparse.Namespace) -> int:
    def change(manager: client.PolicyManager, policy_id: int) -> client.Policy:
        return manager.enable_policy(policy_id, revision=arguments.revision)

    return _changed(settings, arguments, "enabled", change)


def _disable(settings: config.Settings, arguments: argparse.Namespace) -> int:
    def change(manager: client.PolicyManager, policy_id: int) -> client.Policy:
        return manager.disable_policy(policy_id, revision=arguments.revision)

    return _changed(settings, arguments, "disabled", change)


def _delete(settings: config.Settings, arguments: argparse.Namespace) -> int:
    def change(manager: client.PolicyManager, policy_id: int) -> client.Policy:
        return manager.delete_policy(policy_id, revision=arguments.revision)

    return _changed(settings, arguments, "deleted", change)


def _restore(settings: config.Settings, arguments: argparse.Namespace) -> int:
    def change(manager: client.PolicyManager, policy_id: int) -> client.Policy:
        return manager.restore_policy(policy_id, arguments.number, revision=arguments.revision)

    done = f"restored as of revision {arguments.number}"
    return _changed(settings, arguments, done, change, deleted_too=True)


def _changed(
    settings: config.Settings,
    arguments: argparse.Namespace,
    done: str,
    change: Callable[[client.PolicyManager, int], client.Policy],
    *,
    deleted_too: bool = False,
) -> int:
    import dataclasses
    import json

    from detector.policies import remote

    manager = detectors.connect(settings, arguments)
    policy = change(manager, remote.find(manager, arguments.policy, deleted_too=deleted_too))
    if arguments.json:
        print(json.dumps(dataclasses.asdict(policy), default=str))
    else:
        print(f"{policy.name}: {done} (policy {policy.id}, revision {policy.revision})")
    return base.OK
