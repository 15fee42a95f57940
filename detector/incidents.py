"""Which anomalies belong together: those that overlap in time and have a label in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from detector import anomalies

SLACK = timedelta(minutes=2)
"""An anomaly still joins what ended so long before it opened: effects come late."""
JOINABLE = timedelta(hours=6)
"""An incident takes no new member after so long: what lasts for days would draw in everything."""
INCIDENTS_MAX = 500
MEMBERS_MAX = 1_000
"""Of an incident; beyond, another one begins."""
LINKS = frozenset(
    {
        "instance", "host", "hostname", "node", "pod", "container", "job", "service",
        "service_name", "app", "application", "namespace", "cluster", "region", "zone",
        "availability_zone", "datacenter", "account", "project", "tenant",
    }
)  # fmt: skip
"""Labels that say where something runs. `cpu="0"` or `mode="idle"` of two hosts mean nothing."""

Link = tuple[str, str]
_QUERY = ""
"""Stands for the query among the links: no label has an empty name."""


def links_of(key: anomalies.Key) -> tuple[Link, ...]:
    """What may tie this anomaly to another: its query, and its labels that are in LINKS."""
    return ((_QUERY, key.query), *(pair for pair in key.labels if pair[0] in LINKS))


@dataclass(slots=True)
class _Group:
    """One incident that may still get members: who is in, and until when each link holds."""

    id: anomalies.IncidentId
    opened_at: datetime
    members: dict[anomalies.Key, anomalies.Anomaly] = field(default_factory=dict)
    open_links: Counter[Link] = field(default_factory=Counter)
    ended_links: dict[Link, datetime] = field(default_factory=dict)

    def put(self, anomaly: anomalies.Anomaly) -> None:
        before = self.members.get(anomaly.key)
        self.members[anomaly.key] = anomaly
        links = links_of(anomaly.key)
        if before is None or before.ended_at is not None:
            self.open_links.update(links)
        if anomaly.ended_at is not None:
            self.open_links.subtract(links)
            for link in links:
                known = self.ended_links.get(link, anomaly.ended_at)
                self.ended_links[link] = max(known, anomaly.ended_at)

    def takes(self, anomaly: anomalies.Anomaly) -> bool:
        if len(self.members) >= MEMBERS_MAX:
            return False
        if abs(anomaly.opened_at - self.opened_at) > JOINABLE:
            return False
        return any(self._holds(link, anomaly.opened_at) for link in links_of(anomaly.key))

    def is_over(self, at: datetime) -> bool:
        """Nothing lasts, and what opens now would come too late."""
        ended = [each.ended_at for each in self.members.values()]
        return all(each is not None and each + SLACK < at for each in ended)

    def _holds(self, link: Link, at: datetime) -> bool:
        ended = self.ended_links.get(link)
        return self.open_links[link] > 0 or (ended is not None and ended + SLACK >= at)


class Grouping:
    """Puts anomalies, as they are told of, into incidents; holds only what may still grow.

    An anomaly joins the incident that opened first of those that it overlaps (with SLACK) and
    shares a link with; else it begins one. The others of them have then turned out to be the same
    incident, and are merged into it, up to MEMBERS_MAX. One owner thread.
    """

    def __init__(self) -> None:
        self._groups: dict[anomalies.IncidentId, _Group] = {}
        self._incident_of: dict[anomalies.Key, anomalies.IncidentId] = {}
        self._merged: dict[anomalies.IncidentId, anomalies.IncidentId] = {}

    def __len__(self) -> int:
        """Incidents that are held."""
        return len(self._groups)

    def place(self, anomaly: anomalies.Anomaly) -> anomalies.IncidentId:
        """The incident of this anomaly, the same one each time it is told of unless `merged`."""
        known = self._incident_of.get(anomaly.key)
        if known is None:
            fits = [group for group in self._groups.values() if group.takes(anomaly)]
            fits.sort(key=lambda group: (group.opened_at, group.id))
            known = fits[0].id if fits else anomalies.incident_id(anomaly.key)
            for other in fits[1:]:
                self._merge(other, fits[0])
        self.restore(anomaly, known)
        return known

    def _merge(self, other: _Group, into: _Group) -> None:
        if len(other.members) + len(into.members) >= MEMBERS_MAX:
            return
        for anomaly in other.members.values():
            into.put(anomaly)
            self._incident_of[anomaly.key] = into.id
        del self._groups[other.id]
        self._merged = {
            old: into.id if new == other.id else new for old, new in self._merged.items()
        }
        self._merged[other.id] = into.id

    @property
    def merged(self) -> Mapping[anomalies.IncidentId, anomalies.IncidentId]:
        """Incidents that were merged since forget_merged, and what into: none of the latter."""
        return dict(self._merged)

    def forget_merged(self) -> None:
        """They are known where they have to be."""
        self._merged = {}

    def restore(self, anomaly: anomalies.Anomaly, incident: anomalies.IncidentId) -> None:
        """Take in an anomaly whose incident is known."""
        group = self._groups.setdefault(incident, _Group(incident, anomaly.opened_at))
        group.put(anomaly)
        self._incident_of[anomaly.key] = incident

    def members(self, incident: anomalies.IncidentId) -> tuple[anomalies.Anomaly, ...]:
        """The members of an incident that is held; none of another."""
        group = self._groups.get(incident)
        return tuple(group.members.values()) if group else ()

    def forget(self, at: datetime) -> None:
        """Let go of what can get no more members at this instant, and of the oldest beyond
        INCIDENTS_MAX."""
        oldest = sorted(self._groups.values(), key=lambda group: group.opened_at)
        excess = len(oldest) - INCIDENTS_MAX
        for number, group in enumerate(oldest):
            if number < excess or group.is_over(at):
                del self._groups[group.id]
                for key in group.members:
                    self._incident_of.pop(key, None)
