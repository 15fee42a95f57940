"""A configuration of Alertmanager that somebody has written: looked at, and left as it is."""

from __future__ import annotations

import contextlib
import pathlib
import urllib.parse
from collections.abc import Iterator

from detector import config
from detector.stack.receivers import base, notify, routes, sms


def notes(tree: base.Tree, settings: config.Settings, place: base.Place) -> Iterator[str]:
    """What it lacks of our receivers, with the lines to add, a note each."""
    wanted = [("the detector's memory", "mda-memory", routes.MEMORY_PATH)]
    wanted += [
        (f"SMS{f' of team {each.team}' if each.team else ''}", f"mda-{each.name}", sms.path(each))
        for each in sms.CHANNEL.reaches(settings)
    ]
    wanted += [
        (f"notify.{each.target}", f"mda-{each.name}", notify.path(each))
        for each in notify.CHANNEL.reaches(settings)
    ]
    told = {urllib.parse.urlsplit(url.strip()).path for url in _urls(tree)}
    for who, name, path in wanted:
        if path not in told:
            yield f"{who} hears of no alert by this configuration: add\n{_lines(name, path, place)}"
    if not routes.has_tests(tree):
        yield (
            "mda alerts test needs a route for each receiver, as the first ones: "
            f"{{receiver: NAME, matchers: ['{routes.TEST_LABEL} = \"NAME\"'], group_wait: 0s}}"
        )


def _urls(tree: base.Tree) -> Iterator[str]:
    for receiver in tree["receivers"]:
        for each in receiver.get("webhook_configs") or []:
            yield str(each.get("url", ""))
            if "url_file" in each:
                with contextlib.suppress(OSError, UnicodeDecodeError):
                    yield pathlib.Path(each["url_file"]).read_text(encoding="utf-8")


def _lines(name: str, path: str, place: base.Place) -> str:
    is_memory = path == routes.MEMORY_PATH
    route = (
        '{receiver: %s, group_by: ["..."], group_wait: 0s, group_interval: 5s, '
        "repeat_interval: 1h, continue: true}"
        if is_memory
        else "{receiver: %s, matchers: ['severity =~ \"critical|high\"'], continue: true}"
    )
    return (
        f"  route: {{routes: [{route % name}]}}{'   # the first' if is_memory else ''}\n"
        f"  receivers: [{{name: {name}, webhook_configs: [{{url: 'http://{place.detector}{path}', "
        f"http_config: {{authorization: {{credentials_file: {place.token_file}}}}}}}]}}]"
    )
