"""What a message can tell of an alert, as annotations: read from Prometheus and the store."""

from __future__ import annotations

import urllib.parse
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from detector import alerts, anomalies, errors, frames, links, ports, quantities
from detector.policy import promql
from detector.services import subjects

RECENT = timedelta(minutes=10)
"""An anomaly is looked for among those that have not ended for longer."""
MOST_ANOMALIES = 1_000
MOST_INSTANCES = 50
"""More are not told apart: the whole query is read."""
LONGEST_INSTANCE = 200
MOST_QUERIES = 200
"""Asked of Prometheus for one turn; what is left comes with the next one."""
LONGEST_URL = 2_000
"""Mail programs and Slack cut longer ones."""
GRAPH_RANGE = "6h"
LONGEST_CAUSE = 200
WORTH_TELLING = 0.5
"""Of the deviation: a cause that carries less is none."""
_SCORES = {"anomaly_expected": "expected", "anomaly_lower": "lower", "anomaly_upper": "upper"}

Annotations = dict[str, str]
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of some alerts, and what went wrong on the way."""

    annotations: dict[alerts.Key, Annotations]
    failures: tuple[errors.MdaError, ...]


@dataclass(slots=True)
class _Turn:
    """What one call has found out already."""

    at: datetime
    asked: int = 0
    read: dict[str, subjects.Places[float]] = field(default_factory=dict)
    failures: list[errors.MdaError] = field(default_factory=list)


class Facts:
    """Tells of alerts. One owner thread.

    made  of addresses; None: nobody reaches us, so there are none
    """

    def __init__(
        self,
        known: subjects.Subjects,
        reader: ports.SeriesReader,
        anomaly_store: ports.AnomalyStore,
        made: links.Links | None,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._known = known
        self._reader = reader
        self._anomalies = anomaly_store
        self._made = made
        self._clock = clock

    def tell(self, held: Sequence[alerts.Held]) -> Told:
        """Annotations of these alerts, as far as they can be had; links always, to a chart where
        it is known of which series. Never raises
        MdaError: what failed is told beside them."""
        turn = _Turn(self._clock())
        found: dict[alerts.Key, Annotations] = {}
        by_query: dict[str, list[tuple[alerts.Held, subjects.Subject]]] = defaultdict(list)
        for each in held:
            subject = self._subject(each, turn)
            found[each.key] = self._links(each, turn.at, has_chart=subject is not None)
            if subject is not None and subject.query:
                by_query[subject.query].append((each, subject))
            elif subject is not None:
                found[each.key] |= self._of_limited(each, subject, turn)
        for query, several in by_query.items():
            for each, told in self._of_scored(query, several, turn):
                found[each.key] |= told
        return Told(found, tuple(turn.failures))

    def _links(self, each: alerts.Held, at: datetime, *, has_chart: bool) -> Annotations:
        if self._made is None:
            return {}
        target = links.Target(each.fingerprint, each.starts_at, links.expiry(at))
        return {
            "ack_url": self._made.action(links.Action.ACK, target),
            "silence_url": self._made.action(links.Action.SILENCE, target),
            **({"chart_url": self._made.chart(target)} if has_chart else {}),
        }

    def _subject(self, each: alerts.Held, turn: _Turn) -> subjects.Subject | None:
        try:
            return self._known.subject(dict(each.labels), each.generator_url)
        except errors.StoreError as error:
            turn.failures.append(error)
            return None

    def _of_limited(self, each: alerts.Held, subject: subjects.Subject, turn: _Turn) -> Annotations:
        labels = dict(each.labels)
        told = {"expected": subject.expected, "kind": subject.kind}
        place = self._read(subject.expr, turn).find(labels)
        if place is not None:
            told["value"] = subject.told(place[1], labels)
            told["graph_url"] = graph_url(each.generator_url, subject.expr, place[0])
        if subject.money:
            amount = self._read(subject.money, turn).find(labels)
            if amount is not None:
                told["money"] = _money(amount[1], subject.over, labels)
        return {name: text for name, text in told.items() if text}

    def _of_scored(
        self,
        query: str,
        several: Sequence[tuple[alerts.Held, subjects.Subject]],
        turn: _Turn,
    ) -> Iterable[tuple[alerts.Held, Annotations]]:
        narrowed = _narrowed([each for each, _ in several])
        chosen = promql.matchers(
            [
                promql.Matcher(promql.NAME, promql.MatchType.REGEX, _NAMES),
                promql.Matcher("query", promql.MatchType.EQUAL, query),
                *narrowed,
            ]
        )
        scores = self._read_by_name(chosen, turn)
        opened, causes = self._remembered(query, turn)
        for each, subject in several:
            labels = dict(each.labels)
            place = self._read(subject.expr, turn).find(labels)
            anomaly = opened.find(labels)
            told = _of_scores(subject, labels, scores, None if place is None else place[1])
            if place is not None:
                told["graph_url"] = graph_url(each.generator_url, subject.expr, place[0])
            if anomaly is not None:
                told.setdefault("kind", anomaly[1].anomaly.kind.replace("_", " "))
                told["cause"] = causes.get(anomaly[1].incident, "")
            yield each, {name: text for name, text in told.items() if text}

    def _remembered(
        self, query: str, turn: _Turn
    ) -> tuple[subjects.Places[anomalies.Remembered], dict[anomalies.IncidentId, str]]:
        """The anomalies of the query that are or were open just now, and what caused them."""
        wanted = anomalies.Filter(query=query, since=turn.at - RECENT, limit=MOST_ANOMALIES)
        try:
            found = self._anomalies.list_anomalies(wanted).anomalies
            incidents = {
                each.id: _cause(each) for each in self._anomalies.list_incidents(wanted).incidents
            }
        except errors.StoreError as error:
            turn.failures.append(error)
            return subjects.Places(()), {}
        # Newest first, so that the newest of one series comes last and stays.
        return subjects.Places((each.anomaly.labels, each) for each in reversed(found)), incidents

    def _read_by_name(self, chosen: str, turn: _Turn) -> dict[str, subjects.Places[float]]:
        by_name: dict[str, list[tuple[frames.Labels, float]]] = defaultdict(list)
        for labels, value in self._ask(chosen, turn):
            without = tuple(pair for pair in labels if pair[0] != "query")
            by_name[dict(labels).get(promql.NAME, "")].append((without, value))
        return {name: subjects.Places(each) for name, each in by_name.items()}

    def _read(self, expr: str, turn: _Turn) -> subjects.Places[float]:
        if expr not in turn.read:
            turn.read[expr] = subjects.Places(self._ask(expr, turn))
        return turn.read[expr]

    def _ask(self, expr: str, turn: _Turn) -> list[tuple[frames.Labels, float]]:
        """The values of an expression now; none if it can't be had. A server that does not answer
        is not asked again in this turn."""
        if turn.asked >= MOST_QUERIES:
            return []
        turn.asked += 1
        table = frames.SeriesTable()
        try:
            at_ms = int(turn.at.timestamp() * 1000)
            values = self._reader.read_instant(expr, at_ms=at_ms, table=table)
        except errors.UpstreamError as error:
            if error.kind != "query":  # who raised the alert may know other words than our server
                turn.failures.append(error)
            if error.kind in ("unreachable", "timeout"):
                turn.asked = MOST_QUERIES
            return []
        pairs = zip(table.labels, values.tolist(), strict=True)
        return [(labels, value) for labels, value in pairs if labels is not None and value == value]


def graph_url(generator_url: str, expr: str, labels: frames.Labels) -> str:
    """The page of Prometheus that draws the series; empty where the alert has none of its own.

    >>> graph_url("http://p:9090/graph?g0.expr=a+%3E+1&g0.tab=1", "a", (("b", "c"),))
    'http://p:9090/graph?g0.expr=%7B__name__%3D%22a%22%2Cb%3D%22c%22%7D&g0.tab=0&g0.range_input=6h'
    """
    page, graph, _ = generator_url.partition("/graph?")
    if not graph:
        return ""
    for shown in (promql.only(expr, labels) if labels else expr, expr):
        asked = {"g0.expr": shown, "g0.tab": "0", "g0.range_input": GRAPH_RANGE}
        url = f"{page}/graph?{urllib.parse.urlencode(asked)}"
        if len(url) <= LONGEST_URL:
            return url
    return ""


_NAMES = "|".join([*_SCORES, subjects.SCORE, "drift_score"])


def _narrowed(several: Sequence[alerts.Held]) -> list[promql.Matcher]:
    """What keeps a query of many series from being read for a few alerts."""
    instances = {dict(each.labels).get("instance", "") for each in several}
    longest = max(map(len, instances), default=0)
    if "" in instances or len(instances) > MOST_INSTANCES or longest > LONGEST_INSTANCE:
        return []
    pattern = "|".join(promql.regex_of(each) for each in sorted(instances))
    return [promql.Matcher("instance", promql.MatchType.REGEX, pattern)]


def _of_scores(
    subject: subjects.Subject,
    labels: Labels,
    scores: Mapping[str, subjects.Places[float]],
    value: float | None,
) -> Annotations:
    nowhere: subjects.Places[float] = subjects.Places(())
    now = {name: each.find(labels) for name, each in scores.items()}
    told = {
        text: subject.told(place[1], labels)
        for name, text in _SCORES.items()
        if (place := now.get(name)) is not None
    }
    if value is not None:
        told["value"] = subject.told(value, labels)
    score = scores.get(subject.score, nowhere).find(labels)
    if score is not None:
        told["score"] = f"{score[1]:.1f}"
    if subject.kind:
        told["kind"] = subject.kind.replace("_", " ")
    expected = now.get("anomaly_expected")
    if subject.unit == quantities.MONEY and value is not None and expected is not None:
        more = value - expected[1]
        amount = subject.told(abs(more), labels)
        told["money"] = f"{amount} {'more' if more > 0 else 'less'} than expected"
    return told


def _money(amount: float, over: float | None, labels: Labels) -> str:
    currency = labels.get("currency", "")
    told = quantities.quantity(amount, quantities.MONEY, currency=currency)
    if over is None or not amount > over:
        return told
    beyond = quantities.quantity(amount - over, quantities.MONEY, currency=currency)
    return f"{told}, {beyond} above the limit"


def _cause(incident: anomalies.Incident) -> str:
    """The label values that carry most of the deviation, where several series deviate."""
    if not incident.causes or incident.members < 2:
        return ""
    first = incident.causes[0]
    if first.coverage < WORTH_TELLING:
        return ""
    named = ", ".join(f"{name}={value}" for name, value in first.labels)[:LONGEST_CAUSE]
    return f"{named} ({100 * first.coverage:.0f} % of the deviation)"
