"""Which alert goes to which receiver: by severity, team and hour; and the road of test messages."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Sequence

from detector import config
from detector.stack.receivers import base

TEST_LABEL = "mda_test"
"""Of a test message; its value is the receiver that it is for."""
HOURS = "business-hours"
HEARTBEAT_PATH = "/api/webhooks/heartbeat"
MEMORY_PATH = "/api/webhooks/alertmanager"
MIDNIGHT = "24:00"
_DAYS = {
    "mon": "monday",
    "tue": "tuesday",
    "wed": "wednesday",
    "thu": "thursday",
    "fri": "friday",
    "sat": "saturday",
    "sun": "sunday",
}


def pattern_of(tree: base.Tree, names: Sequence[str], channel: base.Channel) -> base.Tree:
    """The first route to one of these receivers, or one as a new channel gets it; a copy."""
    for route in tree["route"].get("routes", []):
        if route.get("receiver") in names and _has_severity(route):
            return copy.deepcopy(route)
    return {
        "receiver": channel.name,
        "matchers": ["severity =~ 'any'", *channel.matchers],
        "continue": True,
    }


def place(
    tree: base.Tree,
    names: Sequence[str],
    pattern: base.Tree,
    reaches: Sequence[base.Reach],
    *,
    is_new: bool,
) -> None:
    """Put the routes of a channel where the file has them, else at the end.

    Teams come first; who is told of all alerts is not told of what a team of this channel is.
    A route without a matcher for severity is left as it is, but for the teams.

    is_new  whether the file has no receiver of the channel: one that it has and gives no route is
            given none here
    """
    of_all = [each for each in reaches if not each.team]
    of_teams = [each for each in reaches if each.team]
    no_team = _matcher("team", "!~", [each.team for each in of_teams])
    others = no_team + _matcher(
        "policy", "!~", [name for each in of_teams for name in each.policies]
    )
    routes_of_teams = []
    for each in of_teams:
        routes_of_teams.append(_route(pattern, each, [f'team = "{each.team}"']))
        if each.policies:
            own = _matcher("policy", "=~", each.policies) + no_team
            routes_of_teams.append(_route(pattern, each, own))
    given: list[base.Tree] = tree["route"].setdefault("routes", [])
    first = next((n for n, each in enumerate(given) if each.get("receiver") in names), len(given))
    for route in given:
        if of_all and route.get("receiver") in names:
            route.update(_route(route, of_all[0], others, name=route["receiver"]))
    if is_new:
        given += [_route(pattern, each, others) for each in of_all]
    given[first:first] = routes_of_teams


def drop(route: base.Tree, receivers: Collection[str]) -> None:
    """Take away the routes to these, and those below them."""
    kept = [each for each in route.get("routes", []) if each.get("receiver") not in receivers]
    if "routes" in route:
        route["routes"] = kept
    for each in kept:
        drop(each, receivers)


def set_hours(tree: base.Tree, hours: config.BusinessHours | None) -> None:
    """Give the severities that wait for business hours a route of their own, which only then
    tells."""
    if hours is None:
        return
    tree.setdefault("time_intervals", []).append({"name": HOURS, "time_intervals": [_span(hours)]})
    found: list[base.Tree] = []
    for route in tree["route"].get("routes", []):
        severities = _severities(route)
        late = [each for each in severities if each in hours.severities]
        at_once = [each for each in severities if each not in hours.severities]
        if not late:
            found.append(route)
            continue
        if at_once:
            found.append(_with_severities(route, at_once))
        found.append(_with_severities(route, late) | {"active_time_intervals": [HOURS]})
    tree["route"]["routes"] = found


def add_tests(tree: base.Tree) -> None:
    """Let a test message reach its receiver, the memory, and nobody else, at once."""
    given: list[base.Tree] = tree["route"].setdefault("routes", [])
    memory = {each["name"] for each in tree["receivers"] if is_memory(each)}
    places = [n for n, each in enumerate(given, 1) if each.get("receiver") in memory]
    start = max(places, default=0)
    given[start:start] = [
        {
            "receiver": each["name"],
            "matchers": [f'{TEST_LABEL} = "{each["name"]}"'],
            "group_by": ["..."],
            "group_wait": "0s",
            "group_interval": "5s",
        }
        for each in tree["receivers"]
        if each["name"] not in memory and _tells_people(each)
    ]


def _tells_people(receiver: base.Tree) -> bool:
    urls = [str(each.get("url", "")) for each in receiver.get("webhook_configs", [])]
    is_heartbeat = any(url.endswith(HEARTBEAT_PATH) for url in urls)
    return not is_heartbeat and any(key.endswith("_configs") for key in receiver)


def has_tests(tree: base.Tree) -> bool:
    """Whether test messages have a road."""
    found = tree["route"].get("routes") or []
    return any(TEST_LABEL in str(each.get("matchers", "")) for each in found)


def is_memory(receiver: base.Tree) -> bool:
    """Whether it tells the detector's memory."""
    return any(
        str(each.get("url", "")).endswith(MEMORY_PATH)
        for each in receiver.get("webhook_configs", [])
    )


def _route(pattern: base.Tree, reach: base.Reach, more: list[str], *, name: str = "") -> base.Tree:
    route = _with_severities(pattern, reach.severities)
    return route | {
        "receiver": name or reach.name,
        "matchers": [*route.get("matchers", []), *more],
    }


def _matcher(label: str, operator: str, values: Sequence[str]) -> list[str]:
    """A matcher for any of these, as it stands in a configuration; none without any."""
    pattern = "|".join(re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", value) for value in values)
    return [f"{label} {operator} {json.dumps(pattern, ensure_ascii=False)}"] if values else []


def _with_severities(route: base.Tree, severities: Sequence[str]) -> base.Tree:
    """A copy that takes these where it had a matcher for severities."""
    found = copy.deepcopy(route)
    found["matchers"] = [
        f'severity =~ "{"|".join(severities)}"' if _is_about_severity(each) else each
        for each in route.get("matchers", [])
    ]
    return found


def _severities(route: base.Tree) -> list[str]:
    """Those that it takes, of a route that we have written; none of any other."""
    for matcher in route.get("matchers", []):
        found = re.fullmatch(r'severity =~ "([a-z0-9_|-]+)"', matcher)
        if found:
            return found[1].split("|")
    return []


def _is_about_severity(matcher: str) -> bool:
    return re.match(r"severity\s*[=!]", matcher) is not None


def _has_severity(route: base.Tree) -> bool:
    return any(_is_about_severity(each) for each in route.get("matchers", []))


def _span(hours: config.BusinessHours) -> base.Tree:
    end = f"{hours.end:%H:%M}"
    return {
        "weekdays": [_DAYS[day] for day in hours.days],
        "times": [
            {
                "start_time": f"{hours.start:%H:%M}",
                "end_time": MIDNIGHT if end == "00:00" else end,
            }
        ],
        "location": hours.timezone.key,
    }
