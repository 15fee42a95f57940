"""`mda alerts`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from detector.commands import base, detectors

if TYPE_CHECKING:
    from detector import client, config

STATUSES = ("firing", "acknowledged", "silenced", "inhibited", "resolved")
SEVERITIES = ("critical", "high", "warning", "medium", "low", "info")
FEEDBACK = ("true", "false_alarm", "planned")

Change = Callable[["client.Alerts", int], dict[str, Any]]


def add(commands: base.Commands) -> None:
    """The verbs of `mda alerts`."""
    verbs = commands.group("alerts", "Alerts: what fires and has fired, and what is done about it.")
    text = "List a running detector's alerts, newest start first."
    put = detectors.add(verbs, "list", _list, text).add_argument
    put("--status", choices=STATUSES, help="only those in it (default: any)")
    put("--label", metavar="NAME:VALUE", action="append", default=[], help="that they must have")
    put("--limit", type=int, default=50, metavar="N", help="at most so many (default: 50)")
    put = detectors.add(verbs, "show", _show, "Print one alert and its history.").add_argument
    put("alert", type=int, metavar="ID", help="as list tells it")
    text = "Say that somebody sees to alerts: for a while nobody else is told."
    put = _add_change(verbs, "ack", _ack, text).add_argument
    put("--for", dest="lasting", default="1h", metavar="TIME", help="from 1m to 24h (default: 1h)")
    put("--owner", default="", metavar="NAME", help="who sees to it (default: whose token it is)")
    _add_change(verbs, "unack", _unack, "Say that nobody sees to alerts any more.")
    _add_silence(verbs)
    text = "End alerts that were raised by hand; others come back while their condition holds."
    put = _add_change(verbs, "resolve", _resolve, text).add_argument
    put("--even-if-it-comes-back", action="store_true", help="end alerts of rules too")
    text = "Say what alerts were."
    put = _add_change(verbs, "feedback", _feedback, text).add_argument
    put("--was", required=True, choices=FEEDBACK, help="what it was")
    _add_raise(verbs)
    _add_test(verbs)


def _add_change(
    verbs: base.Commands, name: str, command: base.Command, text: str
) -> argparse.ArgumentParser:
    sub = detectors.add(verbs, name, command, text)
    sub.add_argument("alerts", type=int, metavar="ID", nargs="+", help="as list tells it")
    sub.add_argument("--note", default="", metavar="TEXT", help="kept in the history")
    return sub


def _add_silence(verbs: base.Commands) -> None:
    text = "Mute one alert, or with matchers whatever they hold of."
    put = detectors.add(verbs, "silence", _silence, text).add_argument
    put("alert", type=int, metavar="ID", help="as list tells it")
    put("--for", dest="lasting", required=True, metavar="TIME", help="as 2h")
    put("--reason", required=True, metavar="TEXT", help="for others")
    put(
        "--matcher",
        metavar="MATCHER",
        action="append",
        default=[],
        help="name=value, name!=value, name=~pattern or name!~pattern; all must hold",
    )
    put("--planned", action="store_true", help="for planned work: what it mutes is judged planned")
    put("--confirm", default="", metavar="VALUE", help="of a silence that was shown to mute much")


def _add_raise(verbs: base.Commands) -> None:
    text = "Raise an alert, which goes where Alertmanager's routes lead it until it is ended."
    put = detectors.add(verbs, "raise", _raise, text).add_argument
    put("name", metavar="NAME", help="what it is called")
    put("--summary", required=True, metavar="TEXT", help="what is to be known, in one line")
    put("--severity", choices=SEVERITIES, default="warning", help="(default: warning)")
    put("--for", dest="lasting", default="1h", metavar="TIME", help="at most (default: 1h)")
    put("--label", metavar="NAME=VALUE", action="append", default=[], help="may be repeated")
    for name in ("team", "description", "runbook"):
        put(f"--{name}", default="", metavar="TEXT")


def _add_test(verbs: base.Commands) -> None:
    text = "Send a marked test message by a channel, and tell each hop of its road."
    put = detectors.add(verbs, "test", _test, text).add_argument
    put("channel", metavar="CHANNEL", help="a receiver, as email or email-TEAM")
    put("--timeout", type=float, default=60.0, metavar="S", help="for all hops (default 60)")


def _list(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector import alert_lines, errors

    if arguments.limit < 1:
        raise errors.ConfigError(f"--limit: {arguments.limit}: 1 or more is allowed")
    labels = dict(alert_lines.pair_of(each, ":", "--label") for each in arguments.label)
    found = detectors.connect_alerts(settings, arguments).list_alerts(
        status=arguments.status, labels=labels, limit=arguments.limit
    )
    print(json.dumps({"alerts": found}) if arguments.json else alert_lines.table_of(found))
    return base.OK


def _show(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector import alert_lines

    found = detectors.connect_alerts(settings, arguments).alert(arguments.alert)
    print(json.dumps(found) if arguments.json else "\n".join(alert_lines.show_lines(found)))
    return base.OK


def _ack(settings: config.Settings, arguments: argparse.Namespace) -> int:
    def change(desk: client.Alerts, alert_id: int) -> dict[str, Any]:
        return desk.acknowledge(
            alert_id, note=arguments.note, owner=arguments.owner, lasting=arguments.lasting
        )

    return _changed(settings, arguments, f"acknowledged for {arguments.lasting}", change)


def _unack(settings: config.Settings, arguments: argparse.Namespace) -> int:
    def change(desk: client.Alerts, alert_id: int) -> dict[str, Any]:
        return desk.unacknowledge(alert_id, note=arguments.note)

    return _changed(settings, arguments, "acknowledged no more", change)


def _resolve(settings: config.Settings, arguments: argparse.Namespace) -> int:
    def change(desk: client.Alerts, alert_id: int) -> dict[str, Any]:
        return desk.resolve(
            alert_id,
            note=arguments.note,
            even_if_it_comes_back=arguments.even_if_it_comes_back,
        )

    return _changed(settings, arguments, "ended", change)


def _feedback(settings: config.Settings, arguments: argparse.Namespace) -> int:
    def change(desk: client.Alerts, alert_id: int) -> dict[str, Any]:
        return desk.judge(alert_id, arguments.was, note=arguments.note)

    return _changed(settings, arguments, f"feedback: {arguments.was}", change)


def _changed(
    settings: config.Settings, arguments: argparse.Namespace, done: str, change: Change
) -> int:
    """One after the other; what cannot be done is said, and the others are done all the same."""
    import json

    from detector import alert_lines, client

    desk = detectors.connect_alerts(settings, arguments)
    changed, failed = [], 0
    for number in arguments.alerts:
        try:
            changed.append(change(desk, number))
        except client.ApiError as error:
            if len(arguments.alerts) == 1:
                raise
            failed += 1
            print(f"mda: {error}", file=sys.stderr)
        else:
            if not arguments.json:
                print(alert_lines.done_line(changed[-1], done))
    if arguments.json:
        print(json.dumps({"alerts": changed}))
    return base.FAILED if failed else base.OK


def _silence(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector import alert_lines, client

    matchers = [alert_lines.matcher_of(each) for each in arguments.matcher]
    try:
        found = detectors.connect_alerts(settings, arguments).silence(
            arguments.alert,
            reason=arguments.reason,
            lasting=arguments.lasting,
            matchers=matchers or None,
            planned=arguments.planned,
            confirm=arguments.confirm,
        )
    except client.ApiError as error:
        if not error.confirm:
            raise
        if arguments.json:
            print(json.dumps({"confirm": error.confirm, "muted": error.muted}))
        print(f"mda: {error}", file=sys.stderr)
        print(*alert_lines.muted_lines(error.muted), sep="\n", file=sys.stderr)
        print(f"mda: to make it, add --confirm {error.confirm}", file=sys.stderr)
        return base.FAILED
    done = f"silenced for {arguments.lasting} (silence {found['silence_id']})"
    print(json.dumps(found) if arguments.json else alert_lines.done_line(found, done))
    return base.OK


def _raise(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import json

    from detector import alert_lines

    more = {name: getattr(arguments, name) for name in ("team", "description", "runbook")}
    found = detectors.connect_alerts(settings, arguments).raise_alert(
        arguments.name,
        summary=arguments.summary,
        severity=arguments.severity,
        lasting=arguments.lasting,
        labels=dict(alert_lines.pair_of(each, "=", "--label") for each in arguments.label),
        **{name: text for name, text in more.items() if text},
    )
    if arguments.json:
        print(json.dumps(found))
    elif found["alert"] is None:
        print(f"{arguments.name}: raised; the memory has it in some seconds (mda alerts list)")
    else:
        print(alert_lines.done_line(found["alert"], f"raised until {found['until']}"))
    return base.OK


def _test(settings: config.Settings, arguments: argparse.Namespace) -> int:
    import dataclasses
    import json
    import secrets
    from datetime import timedelta

    from detector.trial import asking, road

    url, token = detectors.url_of(settings, arguments), detectors.token_of(settings, arguments)
    told = []
    hops = road.Road(
        settings,
        asking.Alertmanager(detectors.alertmanager_of(settings)),
        asking.Detector(url, token),
        arguments.channel,
        number=secrets.token_hex(4),
        patience=timedelta(seconds=arguments.timeout),
        now=base.now,
    ).hops()
    for hop in hops:
        told.append(hop)
        if not arguments.json:
            seen = "ok    " if hop.is_seen else "not   "
            print(f"{seen}{hop.name:<24}{hop.seconds:6.2f} s  {hop.text}", flush=True)
    if arguments.json:
        print(json.dumps([dataclasses.asdict(hop) for hop in told]))
    return base.OK if all(hop.is_seen for hop in told) else base.FAILED
