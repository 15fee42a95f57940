"""What services need from the edges; app.py hands them the real thing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from detector import access, alerts, anomalies, deliveries, frames, messages
from detector.policy import compiler, documents, drafts, live, revisions


class SeriesReader(Protocol):
    """Reads PromQL answers as columns and frames of a table; each road gives the same values."""

    def read_instant(self, expr: str, *, at_ms: int, table: frames.SeriesTable) -> frames.Floats:
        """float64[len(table)] values at at_ms, NaN where a row has none; new series get rows.

        Raises UpstreamError.
        """
        ...

    def read_range(
        self, expr: str, *, start_ms: int, end_ms: int, step_ms: int, table: frames.SeriesTable
    ) -> frames.Frame:
        """The frame of query_range from start to end, both included, any length; new series get
        rows.

        Raises UpstreamError.
        """
        ...

    def last_written_ms(self, query: str, *, at_ms: int, within: timedelta) -> int | None:
        """When the newest score of this query that the server holds is from, looking back
        `within` from at_ms; None if there is none.

        Raises UpstreamError.
        """
        ...

    def metric_names(self, *, start_ms: int, end_ms: int) -> frozenset[str]:
        """Names of all metrics that the server has samples of about this time.

        Raises UpstreamError.
        """
        ...


class ScoreWriter(Protocol):
    """Takes scores for Prometheus; keeps them in order and retries behind the caller's back."""

    def write(self, query: str, table: frames.SeriesTable, scores: frames.Scores) -> None:
        """Queue anomaly_score, _expected, _lower, _upper and drift_score of every finite value,
        oldest first; and anomaly_model_score of each member that the scores tell of."""
        ...

    def write_stale(
        self, query: str, table: frames.SeriesTable, rows: Sequence[int], *, time_ms: int
    ) -> None:
        """Queue stale markers for all series of each of these rows: scores, drift, models'."""
        ...

    def write_active(
        self,
        query: str,
        table: frames.SeriesTable,
        row: int,
        kind: frames.Kind,
        *,
        time_ms: int,
        stale: bool,
    ) -> None:
        """Queue anomaly_active{kind} = 1 for this row, or its stale marker."""
        ...

    def write_forecasts(
        self,
        query: str,
        horizons: Sequence[str],
        table: frames.SeriesTable,
        values: frames.Floats,
        *,
        time_ms: int,
    ) -> None:
        """Queue anomaly_forecast{horizon} of every finite value of float64[S, H]; a stale marker
        where there was one the last time and is none now. Not for the times of an earlier call."""
        ...

    def write_exhaustion(
        self, query: str, table: frames.SeriesTable, seconds: frames.Floats, *, time_ms: int
    ) -> None:
        """Likewise anomaly_exhaustion_seconds, of float64[S]."""
        ...

    def forget(self, query: str) -> None:
        """Free what is known of this query, for one of the name that writes other series."""
        ...


class PlannedTime(Protocol):
    """Knows when the unusual is planned."""

    def is_planned(self, times_ms: frames.Ints) -> frames.Bools:
        """bool[T]: which of these instants (int64[T]) lie in planned time. Never raises."""
        ...


class EpisodeStore(Protocol):
    """Remembers alert episodes."""

    def record(
        self, notifications: Sequence[alerts.Notification], *, received_at: datetime
    ) -> alerts.Recorded:
        """Commit all of them, each once by (fingerprint, starts_at, state), in any order. An
        episode that was made from ALERTS is no longer one once the same is recorded, and goes if
        that begins at another time within a minute. One that was told as over alone, and began
        before the end of the one before it, is part of that one, dated anew.

        Raises StoreError; then none of them is stored.
        """
        ...

    def mark(
        self,
        keys: Collection[alerts.Key],
        status: alerts.Status,
        *,
        at: datetime,
        by: str = "",
        note: str = "",
        silence_id: str = "",
        was: alerts.Status | None = None,
    ) -> int:
        """Put those of these episodes that fire and are in another status (`was`, where given)
        into this one, and keep that as a transition: how many. Of ACKNOWLEDGED, `by` becomes the
        owner and silence_id is kept. PENDING is kept as a transition alone, once for each episode,
        whatever its state.
        RESOLVED is nobody's to mark: an end is recorded.

        Raises StoreError.
        """
        ...

    def learn(self, facts: Mapping[alerts.Key, frames.Labels]) -> None:
        """Keep these facts of episodes, each in the place of one of the same name before.

        Raises StoreError.
        """
        ...

    def remark(
        self,
        key: alerts.Key,
        *,
        at: datetime,
        by: str,
        note: str = "",
        feedback: alerts.Feedback | None = None,
    ) -> bool:
        """Keep in the history of an episode, in whatever state it is, what a person says of it;
        feedback is its own from then on. False if there is none of this key.

        Raises StoreError.
        """
        ...

    def firing(self) -> tuple[alerts.Firing, ...]:
        """All that fire, in no order.

        Raises StoreError.
        """
        ...

    def judged(self, since: datetime) -> tuple[alerts.Episode, ...]:
        """The episodes with feedback that had not ended before `since`, oldest start first.

        Raises StoreError.
        """
        ...

    def statistics(self, since: datetime, until: datetime) -> alerts.Statistics:
        """Of what began between these, of a sample where there is much of it.

        Raises StoreError.
        """
        ...

    def forget(self, before: datetime) -> alerts.Forgotten:
        """Take away, in part, what ended before this instant and began in a month that was over a
        day before it; nothing if nothing is left of that.

        Raises StoreError.
        """
        ...

    def muted(self, matchers: Sequence[alerts.Matcher], *, since: datetime) -> int | None:
        """How many of the episodes that started since, the newest of very many, a silence with
        these matchers would have muted; None where a pattern is not understood.

        Raises StoreError.
        """
        ...

    def watched_until(self) -> datetime | None:
        """Until when nothing of the alerts was missed; None if they never were watched.

        Raises StoreError.
        """
        ...

    def watched(self, until: datetime) -> None:
        """Keep that nothing was missed until then.

        Raises StoreError.
        """
        ...

    def list_episodes(self, wanted: alerts.EpisodeFilter) -> alerts.EpisodePage:
        """The episodes that match, newest start first, one page.

        Raises StoreError.
        """
        ...

    def episode(self, episode_id: int) -> alerts.Episode | None:
        """The episode of this id with its transitions, None if there is none.

        Raises StoreError.
        """
        ...

    def episode_of(self, key: alerts.Key) -> alerts.Episode | None:
        """The episode of this fingerprint that started within this millisecond, which is all that
        Alertmanager's API tells; with its transitions, None if there is none.

        Raises StoreError.
        """
        ...


class ManualStore(Protocol):
    """Remembers alerts that people raised.

    All methods raise StoreError; then nothing of them is stored.
    """

    def add(self, new: alerts.Manual, *, at: datetime) -> alerts.Manual | None:
        """Keep it, with an id of its own; None, and nothing kept, if one with its labels fires."""
        ...

    def drop(self, manual_id: int) -> None:
        """Forget it, as if it had never been raised."""
        ...

    def firing(self, key: alerts.Key) -> alerts.Manual | None:
        """The one of this key, while it fires; None if there is none."""
        ...

    def end(self, manual_id: int, *, at: datetime) -> bool:
        """It is over; False if it was so already."""
        ...

    def due(self, *, ended_since: datetime, at: datetime) -> tuple[alerts.Manual, ...]:
        """Those that fire and those that ended since, of which Alertmanager is to be told; what
        is over by itself ends first."""
        ...


class LinkStore(Protocol):
    """Remembers which addresses of messages were used.

    All methods raise StoreError.
    """

    def use_of(self, signature: str) -> alerts.LinkUse | None:
        """When the address of this signature was used; None if it was not."""
        ...

    def use(self, signature: str, use: alerts.LinkUse, *, expires: datetime) -> bool:
        """Keep that it was used, and forget those that have expired; False if it was before."""
        ...


class MessageStore(Protocol):
    """Remembers the messages that we send, and what each person has been told.

    All methods raise StoreError; then nothing of them is stored.
    """

    def tell(
        self,
        recipients: Sequence[str],
        delivered: Sequence[alerts.Notification],
        draft: Callable[[Sequence[alerts.Notification]], messages.Draft],
        *,
        at: datetime,
    ) -> int:
        """Queue a message to each person to whom something of this is news (messages.plan), and
        drop those queued of which everything is over: how many were queued. Repeating it changes
        nothing."""
        ...

    def claim(
        self, *, at: datetime, limit: int, severities: Collection[str] | None = None
    ) -> tuple[messages.Message, ...]:
        """The queued messages that are due, of these severities or of any, those that came first;
        they are SENDING from now on, and no other process gets them."""
        ...

    def in_doubt(self, *, before: datetime) -> tuple[messages.Message, ...]:
        """The messages that have been SENDING since before this instant."""
        ...

    def settle(self, message: messages.Message, change: messages.Change, *, at: datetime) -> bool:
        """What became of a message that was claimed; False, and no change, if it has moved on. One
        that would be QUEUED again is DROPPED where all of it is over in the meantime."""
        ...

    def receive(self, reference: str, receipt: messages.Receipt, *, at: datetime) -> bool:
        """What a provider says of a message, by our reference; False if nothing changes by it."""
        ...

    def spent(self, *, since: datetime) -> float:
        """The price of all messages handed over since, those refused left out."""
        ...

    def unanswered(
        self, *, since: datetime, unless: messages.Unless = messages.Unless.DELIVERED
    ) -> tuple[messages.Message, ...]:
        """Messages of which nobody knows that they arrived (SENT, FAILED, UNKNOWN), handed over
        since, that nothing follows, and that tell of something that is not over. Unless
        ACKNOWLEDGED: also those that arrived, and of them all those alone that tell of an alert
        which is not known to be over, or that anybody has answered or muted."""
        ...

    def follow(
        self,
        message: messages.Message,
        recipient: str,
        draft: messages.Draft,
        *,
        at: datetime,
        unless: messages.Unless = messages.Unless.DELIVERED,
    ) -> bool:
        """Queue a message to somebody else in the place of this one, once, if it is still
        unanswered; that person hears of the end too. False if nothing is queued: also where that
        person has been told of all of it already."""
        ...

    def list_messages(self, wanted: messages.Filter) -> messages.Page:
        """The messages that match, newest first, one page."""
        ...

    def about(self, key: messages.Key) -> tuple[messages.Message, ...]:
        """All that tell of this episode, the first one first."""
        ...

    def given_up(self, *, since: datetime) -> int:
        """How many have since FAILED, become UNKNOWN, or been DROPPED though not over."""
        ...

    def events(self, message_id: int) -> tuple[messages.Event, ...]:
        """All that a message has been, in order; empty if none has this id."""
        ...

    def forget(self, *, before: datetime) -> int:
        """Delete what was last changed before this instant, is not under way, and tells of nothing
        that lasts: how many."""
        ...


class DeliveryStore(Protocol):
    """Remembers whom Alertmanager has told of alerts by receivers of its own.

    All methods raise StoreError; then nothing of them is stored.
    """

    def record(self, told: Sequence[deliveries.Delivery]) -> int:
        """Commit all of them, in any order and any number of times: how many were not known. Of
        what is told again the first time stays."""
        ...

    def about(self, key: alerts.Key) -> tuple[deliveries.Delivery, ...]:
        """All that tell of this episode, the first one first."""
        ...

    def forget(self, before: datetime) -> int:
        """Delete some that were told before this instant, of alerts that are not remembered: how
        many, 0 once there are none."""
        ...


class AnomalyStore(Protocol):
    """Remembers anomalies, and the incidents they make up."""

    def record(
        self,
        placed: Sequence[tuple[anomalies.IncidentId, anomalies.Anomaly]],
        causes: Mapping[anomalies.IncidentId, tuple[anomalies.Cause, ...]],
    ) -> None:
        """Commit all of them, in any order and any number of times: of one anomaly what was
        true latest stays, in the incident that it was first put into; causes replace those before.

        Raises StoreError; then none of them is stored.
        """
        ...

    def merge(self, merged: Mapping[anomalies.IncidentId, anomalies.IncidentId]) -> None:
        """Give the members of each incident to another one; from now on its id means that. None of
        the others is itself merged. Any number of times.

        Raises StoreError; then none of them is merged.
        """
        ...

    def list_anomalies(self, wanted: anomalies.Filter) -> anomalies.Page:
        """The anomalies that match, newest opening first, one page.

        Raises StoreError.
        """
        ...

    def list_incidents(self, wanted: anomalies.Filter) -> anomalies.IncidentPage:
        """The incidents that match, newest opening first, one page.

        Raises StoreError.
        """
        ...

    def incident(
        self, incident: anomalies.IncidentId
    ) -> tuple[anomalies.Incident, tuple[anomalies.Remembered, ...]] | None:
        """The incident of this id with its members, oldest opening first; None if there is none.
        Of an id that was merged it is the other one.

        Raises StoreError.
        """
        ...

    def anomaly(self, anomaly_id: int) -> tuple[anomalies.Remembered, bytes] | None:
        """The anomaly of this id, without its record, and the record of the decision at its peak,
        empty if there is none; None if there is no such anomaly.

        Raises StoreError.
        """
        ...

    def forget(self, before: datetime, *, limit: int) -> int:
        """Forget incidents that had ended before it, with their members, the oldest first; how
        many, `limit` at most.

        Raises StoreError.
        """
        ...

    def recent(self, since: datetime, *, limit: int) -> tuple[anomalies.Remembered, ...]:
        """The newest members, oldest first, of incidents that had not ended before `since`.

        Raises StoreError.
        """
        ...


class TokenStore(Protocol):
    """Remembers tokens of the API by their SHA-256 (access.digest_of); no text comes here."""

    def create(self, new: access.NewToken) -> access.Token | None:
        """Remember a token; None if another one has its name, and then nothing is remembered.

        Raises StoreError; then it may be remembered, if the connection broke while it was on its
        way.
        """
        ...

    def list_tokens(self) -> tuple[access.Token, ...]:
        """All of them, oldest first, expired ones too.

        Raises StoreError.
        """
        ...

    def revoke(self, token_id: int) -> access.Token | None:
        """Forget the token of this id and tell what it was; None if there is none.

        Raises StoreError.
        """
        ...

    def by_digest(self, digest: bytes, *, at: datetime) -> access.Token | None:
        """The token of this digest, compared in constant time; None if there is none. That it was
        used is remembered where it is news (Token.is_use_news), and told from the next time on.

        Raises StoreError.
        """
        ...


class PolicyStore(Protocol):
    """Remembers policies with all their revisions; names are unique, in letters of any case."""

    def changing(self) -> contextlib.AbstractContextManager[PolicyChanges]:
        """All changes made in the block, committed at its end or, where it raises, none of them;
        one block at a time, others wait.

        Raises StoreError.
        """
        ...

    def all_policies(self) -> tuple[revisions.Policy, ...]:
        """Every policy that is not deleted, by id, as committed last; it waits for no block.

        Raises StoreError.
        """
        ...

    def list_policies(self, wanted: revisions.Filter) -> revisions.Page:
        """The policies that match and are not deleted, by name, one page.

        Raises StoreError.
        """
        ...

    def policy(self, policy_id: int) -> revisions.Policy | None:
        """The policy of this id, which may be deleted; None if there never was one.

        Raises StoreError.
        """
        ...

    def revision(self, policy_id: int, number: int) -> revisions.Revision:
        """What this policy was at a revision.

        Raises NotFoundError if it has none of this number, StoreError.
        """
        ...

    def revisions(
        self, policy_id: int, *, below: int | None = None, limit: int = 100
    ) -> tuple[revisions.Revision, ...]:
        """What this policy has been, newest first; those of numbers below `below`.

        Raises StoreError.
        """
        ...


class PolicyChanges(Protocol):
    """Reads and changes policies within a block of PolicyStore.changing."""

    def all_policies(self) -> tuple[revisions.Policy, ...]:
        """Every policy that is not deleted, by id.

        Raises StoreError.
        """
        ...

    def policy(self, policy_id: int) -> revisions.Policy | None:
        """The policy of this id, which may be deleted; None if there never was one.

        Raises StoreError.
        """
        ...

    def is_first(self) -> bool:
        """Whether there has never been a policy.

        Raises StoreError.
        """
        ...

    def add(self, document: documents.Document, made: revisions.Made) -> revisions.Policy:
        """A new policy, at revision 1.

        Raises ConflictError if its name is taken, StoreError.
        """
        ...

    def revise(
        self,
        policy: revisions.Policy,
        document: revisions.Kept,
        change: revisions.Change,
        made: revisions.Made,
    ) -> revisions.Policy:
        """The policy one revision on.

        Raises ConflictError if `policy` is not its newest revision or its new name is taken,
        StoreError.
        """
        ...


class RulePublisher(Protocol):
    """Puts rules of policies where a Prometheus evaluates them."""

    def check(self, each: Sequence[drafts.Draft]) -> None:
        """Have rules checked and their tests run, as far as there is a judge.

        Raises PolicyErrors with what is wrong with which, StackError for the judge itself.
        """
        ...

    def publishing(
        self, policies: Sequence[compiler.Compiled]
    ) -> contextlib.AbstractContextManager[tuple[live.LiveRule, ...]]:
        """Make the rules of these policies, and no others, what is evaluated: in the block they
        are, as Prometheus itself says; if it raises, those of before are put back. One block at a
        time. Given to the block are the rules that were evaluated before and by then are no more.

        Raises PublishError; then those of before were put back, as far as Prometheus answers.
        """
        ...

    def live(self) -> tuple[live.LiveRule, ...]:
        """The rules of policies that Prometheus evaluates, as it tells them.

        Raises UpstreamError.
        """
        ...


class AlertEnder(Protocol):
    """Ends alerts that Alertmanager holds."""

    def end(self, ended: Collection[frames.Labels], *, at: datetime) -> int:
        """Tell Alertmanager that alerts with these labels, and whatever Prometheus has added to
        them on the way, are over; how many it held.

        Raises UpstreamError.
        """
        ...


class AlertSource(Protocol):
    """Knows which alerts Alertmanager holds."""

    def held(self) -> tuple[alerts.Held, ...]:
        """All alerts that are not over, in no order: active, silenced, inhibited, and those that
        it has not yet looked at.

        Raises UpstreamError.
        """
        ...

    def matched(self, matchers: Sequence[alerts.Matcher]) -> tuple[alerts.Held, ...]:
        """Those of them that all these hold of.

        Raises UpstreamError.
        """
        ...

    def started_at(self) -> datetime:
        """When it was started: it holds no alert then, until they are sent again.

        Raises UpstreamError.
        """
        ...


class AlertEvaluation(Protocol):
    """Knows what Prometheus' own alerting rules say. All methods raise UpstreamError."""

    def active(self) -> tuple[alerts.Active, ...]:
        """All alerts that are pending or firing, in no order."""
        ...

    def runs(self, since: datetime, until: datetime) -> tuple[alerts.Run, ...]:
        """The times between these through which alerts fired, in no order."""
        ...

    def firing(self) -> frozenset[frames.Labels]:
        """Labels of the alerts that fire, as it has written them last: through a restart of its
        own too, unlike active()."""
        ...

    def external_labels(self) -> frames.Labels:
        """What it adds to the labels of each alert on its way to Alertmanager."""
        ...


class AlertPoster(Protocol):
    """Gives alerts to Alertmanager, as Prometheus does."""

    def post(self, posted: Sequence[alerts.Posted]) -> None:
        """Hand these over, at once; of one with labels that it holds, annotations are replaced.

        Raises UpstreamError; where it refuses one of them it may have taken the others.
        """
        ...


class Silencer(Protocol):
    """Keeps Alertmanager's silences."""

    def silences(self) -> tuple[alerts.Silence, ...]:
        """All that it knows, in no order, expired ones too.

        Raises UpstreamError.
        """
        ...

    def silence(self, new: alerts.NewSilence) -> str:
        """Mute what all its matchers hold of: its id.

        Raises UpstreamError.
        """
        ...

    def expire(self, silence_id: str) -> None:
        """End the silence of this id; nothing if it has ended, or if there is none.

        Raises UpstreamError.
        """
        ...


class HeartbeatSender(Protocol):
    """Tells somebody outside that alerts arrive, who raises the alarm when that stops."""

    def beat(self, text: str) -> None:
        """Say so; the text is for people who look there. Raises UpstreamError, without the
        address, which is a secret."""
        ...


class SmsProvider(Protocol):
    """Takes messages for phones; threads may share it."""

    @property
    def name(self) -> str:
        """What it is called in the configuration."""
        ...

    def send(self, message: messages.Outgoing) -> messages.Outcome:
        """Hand a message over, once. Never raises for what a provider or a network does."""
        ...

    def find(self, message: messages.Outgoing) -> messages.Receipt | messages.Lookup:
        """What became of a message of which `send` could not tell. Never raises."""
        ...

    def receipt(self, form: Mapping[str, str]) -> messages.Receipt | None:
        """What the parameters of a callback say; None if they say nothing of a message."""
        ...


class FitLog(Protocol):
    """Keeps one row for each fit of a model."""

    def record_fit(self, fit: Fit) -> None:
        """Raises StoreError."""
        ...


@dataclass(frozen=True, slots=True)
class Fit:
    """What a fitted model stands on: enough to fit it again."""

    query: str
    model: str
    parameters: dict[str, object]
    seed: int
    rows: int
    features: int
    window_start: datetime
    window_end: datetime
    quantiles: tuple[float, ...]
    fitted_at: datetime
    duration_s: float
