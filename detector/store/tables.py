"""The tables of PostgreSQL as SQLAlchemy knows them; the migrations make them.

episodes       one row for each (fingerprint, starts_at): an alert from its start to its end
notifications  one row for each (episode, state) ever heard: what is a duplicate, and when the
               episode was first told to be in that state
transitions    one row for each other change of an episode's status: what people did and said,
               silences
               These three are in partitions, one for each month of starts_at (see partitions.py).
watched        one row for each thing that is watched: until when nothing of it was missed
manual_alerts  one row for each alert that a person raised
used_links     one row for each address of a message that was used and has not expired
fits           one row for each fit of a model
anomalies      one row for each (query, series, opening)
messages       one row for each SMS to one person
message_events one row for each change of a message's state
told           one row for each (person, episode, state) that was told, or that need not be
policies       one row for each policy: which of its revisions is in force
policy_revisions
               what each policy was, from its first revision on
decisions      what the score of an anomaly's peak was made from
incidents      one row for each group of anomalies that belong together
merged_incidents
               what became of those that turned out to be part of another one
tokens         one row for each token of the API that is valid or expired; revoked ones are gone
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

metadata = sa.MetaData()

_INSTANT = sa.DateTime(timezone=True)

EPISODE_IDS = sa.Sequence("episodes_id_seq", data_type=sa.BigInteger, metadata=metadata)
TRANSITION_IDS = sa.Sequence("transitions_id_seq", data_type=sa.BigInteger, metadata=metadata)
"""Sequences of their own: partitions have had identity columns since PostgreSQL 17 only."""

NO_WORD = r"[^[:alnum:]\u00c0-\u1fff\u3040-\U0010ffff]+"
"""Between words. A database of the locale C takes no letters for such but those of ASCII: others
are named by their places, punctuation left out."""
WORDS = (
    "to_tsvector('simple'::regconfig, regexp_replace(left(((labels)::text || ' '::text) || "
    f"(annotations)::text, 100000), E'{NO_WORD}'::text, ' '::text, 'g'::text))"
).replace("\\", "\\\\")
"""Letters and digits alone, so that parts of names and addresses are words. A tsvector holds 1 MB
and refuses more: nobody looks for what is behind the first 100,000 characters."""

episodes = sa.Table(
    "episodes",
    metadata,
    sa.Column("id", sa.BigInteger, EPISODE_IDS, server_default=EPISODE_IDS.next_value()),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("starts_at", _INSTANT, nullable=False),
    sa.Column("ends_at", _INSTANT),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("labels", postgresql.JSONB, nullable=False),
    sa.Column("annotations", postgresql.JSONB, nullable=False),
    sa.Column("generator_url", sa.Text, nullable=False),
    sa.Column("received_at", _INSTANT, nullable=False),
    sa.Column("updated_at", _INSTANT, nullable=False),
    sa.Column("heard_at", _INSTANT, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column("silence_id", sa.Text, nullable=False, server_default=""),
    sa.Column("feedback", sa.Text),
    sa.Column("facts", postgresql.JSONB, nullable=False, server_default="{}"),
    sa.Column(
        "words",
        postgresql.TSVECTOR,
        sa.Computed(WORDS, persisted=True),
    ),
    sa.PrimaryKeyConstraint("id", "starts_at", name="episodes_pkey"),
    sa.UniqueConstraint("fingerprint", "starts_at", name="episodes_fingerprint_starts_at_key"),
    sa.CheckConstraint("state IN ('firing', 'resolved')", name="episodes_state_check"),
    sa.CheckConstraint(
        "(state = 'resolved') = (ends_at IS NOT NULL)", name="episodes_resolved_has_end_check"
    ),
    sa.CheckConstraint("ends_at >= starts_at", name="episodes_end_after_start_check"),
    sa.CheckConstraint("updated_at >= received_at", name="episodes_updated_at_check"),
    sa.CheckConstraint("heard_at >= updated_at", name="episodes_heard_at_check"),
    sa.CheckConstraint(
        "status IN ('firing', 'acknowledged', 'silenced', 'inhibited', 'resolved')",
        name="episodes_status_check",
    ),
    sa.CheckConstraint(
        "(status = 'resolved') = (state = 'resolved')", name="episodes_status_of_state_check"
    ),
    sa.CheckConstraint(
        "feedback IN ('true', 'false_alarm', 'planned')", name="episodes_feedback_check"
    ),
    sa.Index("episodes_newest_first", sa.text("starts_at DESC"), sa.text("id DESC")),
    sa.Index(
        "episodes_by_time",
        "starts_at",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    ),
    sa.Index(
        "episodes_labels",
        "labels",
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
    ),
    sa.Index("episodes_words", "words", postgresql_using="gin"),
    sa.Index("episodes_firing", "starts_at", postgresql_where=sa.text("state = 'firing'")),
    sa.Index(
        "episodes_owned",
        "owner",
        sa.text("starts_at DESC"),
        sa.text("id DESC"),
        postgresql_where=sa.text("owner <> ''"),
    ),
    sa.Index(
        "episodes_judged",
        "feedback",
        sa.text("starts_at DESC"),
        sa.text("id DESC"),
        postgresql_where=sa.text("feedback IS NOT NULL"),
    ),
    sa.Index(
        "episodes_long",
        "ends_at",
        "starts_at",
        postgresql_where=sa.text("ends_at - starts_at > interval '1 day'"),
    ),
    postgresql_partition_by="RANGE (starts_at)",
)
"""received_at  first heard of the episode
updated_at   first heard of what the row says now
heard_at     last heard of what the row says now: what is newer is judged by it
words        of its labels and annotations, for searching
"""

notifications = sa.Table(
    "notifications",
    metadata,
    sa.Column("episode_id", sa.BigInteger, primary_key=True),
    sa.Column("starts_at", _INSTANT, primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("received_at", _INSTANT, nullable=False),
    sa.Column("receiver", sa.Text, nullable=False),
    sa.CheckConstraint("state IN ('firing', 'resolved')", name="notifications_state_check"),
    postgresql_partition_by="RANGE (starts_at)",
)

transitions = sa.Table(
    "transitions",
    metadata,
    sa.Column("id", sa.BigInteger, TRANSITION_IDS, server_default=TRANSITION_IDS.next_value()),
    sa.Column("episode_id", sa.BigInteger, nullable=False),
    sa.Column("starts_at", _INSTANT, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("at", _INSTANT, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("feedback", sa.Text),
    sa.PrimaryKeyConstraint("id", "starts_at", name="transitions_pkey"),
    sa.CheckConstraint(
        "status IN ('pending', 'firing', 'acknowledged', 'silenced', 'inhibited', 'resolved')",
        name="transitions_status_check",
    ),
    sa.CheckConstraint(
        "feedback IN ('true', 'false_alarm', 'planned')", name="transitions_feedback_check"
    ),
    sa.Index("transitions_episode", "episode_id"),
    sa.Index(
        "transitions_pending_once",
        "episode_id",
        "starts_at",
        unique=True,
        postgresql_where=sa.text("status = 'pending'"),
    ),
    postgresql_partition_by="RANGE (starts_at)",
)

watched = sa.Table(
    "watched",
    metadata,
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("until", _INSTANT, nullable=False),
    sa.PrimaryKeyConstraint("name", name="watched_pkey"),
)

fits = sa.Table(
    "fits",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("query", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("parameters", postgresql.JSONB, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("features", sa.Integer, nullable=False),
    sa.Column("window_start", _INSTANT, nullable=False),
    sa.Column("window_end", _INSTANT, nullable=False),
    sa.Column("quantiles", postgresql.ARRAY(sa.Float), nullable=False),
    sa.Column("fitted_at", _INSTANT, nullable=False),
    sa.Column("duration_s", sa.Float, nullable=False),
    sa.CheckConstraint("rows >= 0 AND features >= 0", name="fits_size_check"),
    sa.CheckConstraint("window_end >= window_start", name="fits_window_check"),
    sa.CheckConstraint("duration_s >= 0", name="fits_duration_check"),
    sa.Index("fits_newest_first", "query", "model", sa.text("fitted_at DESC")),
)

incidents = sa.Table(
    "incidents",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("opened_at", _INSTANT, nullable=False),
    sa.Column("ended_at", _INSTANT),
    sa.Column("members", sa.Integer, nullable=False),
    sa.Column("peak_score", sa.Float, nullable=False),
    sa.Column("first_query", sa.Text, nullable=False),
    sa.Column("first_labels", postgresql.JSONB, nullable=False),
    sa.Column("causes", postgresql.JSONB, nullable=False, server_default="[]"),
    sa.CheckConstraint("ended_at >= opened_at", name="incidents_end_after_opening_check"),
    sa.CheckConstraint("members > 0", name="incidents_members_check"),
    sa.Index("incidents_newest_first", sa.text("opened_at DESC"), sa.text("id DESC")),
    sa.Index("incidents_ended", "ended_at"),
)
"""All but id and causes is worked out from the members each time one changes."""

anomalies = sa.Table(
    "anomalies",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column(
        "incident_id",
        sa.ForeignKey("incidents.id", deferrable=True, initially="DEFERRED"),
        nullable=False,
    ),
    sa.Column("query", sa.Text, nullable=False),
    sa.Column("series", sa.LargeBinary, nullable=False),
    sa.Column("labels", postgresql.JSONB, nullable=False),
    sa.Column("opened_at", _INSTANT, nullable=False),
    sa.Column("ended_at", _INSTANT),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("peak_at", _INSTANT, nullable=False),
    sa.Column("peak_score", sa.Float, nullable=False),
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("expected", sa.Float, nullable=False),
    sa.Column("lower", sa.Float, nullable=False),
    sa.Column("upper", sa.Float, nullable=False),
    sa.Column("last_at", _INSTANT, nullable=False),
    sa.Column("last_score", sa.Float, nullable=False),
    sa.Column("explanation", postgresql.JSONB, nullable=False),
    sa.UniqueConstraint(
        "query", "series", "opened_at", name="anomalies_query_series_opened_at_key"
    ),
    sa.CheckConstraint("ended_at >= opened_at", name="anomalies_end_after_opening_check"),
    sa.CheckConstraint("peak_at BETWEEN opened_at AND last_at", name="anomalies_peak_check"),
    sa.Index("anomalies_newest_first", sa.text("opened_at DESC"), sa.text("id DESC")),
    sa.Index("anomalies_incident", "incident_id"),
    sa.Index(
        "anomalies_labels",
        "labels",
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
    ),
)
"""series  digest of the labels: what is unique must fit an index
value, expected, lower, upper, explanation  at peak_at
"""

merged_incidents = sa.Table(
    "merged_incidents",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column(
        "into_id",
        sa.ForeignKey("incidents.id", name="merged_incidents_into_fkey", ondelete="CASCADE"),
        nullable=False,
    ),
    sa.Index("merged_incidents_into", "into_id"),
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("query", sa.Text, primary_key=True),
    sa.Column("series", sa.LargeBinary, primary_key=True),
    sa.Column("opened_at", _INSTANT, primary_key=True),
    sa.Column("peak_at", _INSTANT, nullable=False),
    sa.Column("record", sa.LargeBinary, nullable=False),
    sa.ForeignKeyConstraint(
        ["query", "series", "opened_at"],
        ["anomalies.query", "anomalies.series", "anomalies.opened_at"],
        name="decisions_anomaly_fkey",
        ondelete="CASCADE",
    ),
)
"""record  as models.decisions writes it"""

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("selector", sa.LargeBinary, nullable=False),
    sa.Column("verifier", sa.LargeBinary, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("created_at", _INSTANT, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("expires_at", _INSTANT),
    sa.Column("last_used_at", _INSTANT),
    sa.UniqueConstraint("selector", name="tokens_selector_key"),
    sa.UniqueConstraint("name", name="tokens_name_key"),
    sa.CheckConstraint(
        "octet_length(selector) = 8 AND octet_length(verifier) = 24", name="tokens_digest_check"
    ),
    sa.CheckConstraint("name ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'", name="tokens_name_check"),
    sa.CheckConstraint("role IN ('viewer', 'operator', 'admin')", name="tokens_role_check"),
    sa.CheckConstraint("expires_at > created_at", name="tokens_end_after_creation_check"),
)
"""selector, verifier  the SHA-256 of the token: a row is found by the first 8 bytes, which the
                    database may compare as it likes; the other 24 are compared in constant time
"""

policies = sa.Table(
    "policies",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("name_key", sa.Text(collation="C"), nullable=False),
    sa.Column("is_enabled", sa.Boolean, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("is_deleted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.ForeignKeyConstraint(
        ["id", "revision"],
        ["policy_revisions.policy_id", "policy_revisions.revision"],
        name="policies_revision_fkey",
        deferrable=True,
        initially="DEFERRED",
        use_alter=True,
    ),
    sa.Index(
        "policies_name_key", "name_key", unique=True, postgresql_where=sa.text("NOT is_deleted")
    ),
)
"""name_key  the name in small letters (str.casefold)"""

policy_revisions = sa.Table(
    "policy_revisions",
    metadata,
    sa.Column(
        "policy_id",
        sa.ForeignKey("policies.id", name="policy_revisions_policy_fkey"),
        primary_key=True,
    ),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("document", postgresql.JSON, nullable=False),
    sa.Column("change", sa.Text, nullable=False),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("made_at", _INSTANT, nullable=False),
    sa.CheckConstraint("revision > 0", name="policy_revisions_revision_check"),
    sa.CheckConstraint(
        "change IN ('created', 'changed', 'enabled', 'disabled', 'restored', 'deleted')",
        name="policy_revisions_change_check",
    ),
)
"""document  JSON, not JSONB: people find their keys in the order in which they are written"""

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("reference", sa.Text, nullable=False),
    sa.Column("recipient", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("parts", sa.Integer, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("created_at", _INSTANT, nullable=False),
    sa.Column("due_at", _INSTANT, nullable=False),
    sa.Column("updated_at", _INSTANT, nullable=False),
    sa.Column("handed_at", _INSTANT),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("provider_id", sa.Text, nullable=False, server_default=""),
    sa.Column("price", sa.Float, nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("again", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("follows_id", sa.ForeignKey("messages.id", ondelete="SET NULL")),
    sa.UniqueConstraint("reference", name="messages_reference_key"),
    sa.UniqueConstraint("follows_id", name="messages_follows_id_key"),
    sa.CheckConstraint(
        "state IN ('queued', 'sending', 'sent', 'delivered', 'failed', 'unknown', 'dropped')",
        name="messages_state_check",
    ),
    sa.CheckConstraint("parts > 0 AND attempts >= 0", name="messages_counts_check"),
    sa.Index("messages_queued", "due_at", postgresql_where=sa.text("state = 'queued'")),
    sa.Index("messages_sending", "handed_at", postgresql_where=sa.text("state = 'sending'")),
    sa.Index("messages_handed", "handed_at"),
    sa.Index("messages_updated", "updated_at"),
)
"""reference  our own name for it, which a provider gives back
handed_at  when it was last handed to a provider
"""

message_events = sa.Table(
    "message_events",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("message_id", sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
    sa.Column("at", _INSTANT, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Index("message_events_message", "message_id"),
)

told = sa.Table(
    "told",
    metadata,
    sa.Column("recipient", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("starts_at", _INSTANT, primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("message_id", sa.ForeignKey("messages.id", ondelete="CASCADE")),
    sa.Column("told_at", _INSTANT, nullable=False),
    sa.CheckConstraint("state IN ('firing', 'resolved')", name="told_state_check"),
    sa.Index("told_message", "message_id"),
    sa.Index("told_alert", "fingerprint", "starts_at"),
)
"""message_id  NULL: the person was not told, since there was no word of the beginning"""

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("starts_at", _INSTANT, primary_key=True),
    sa.Column("receiver", sa.Text, primary_key=True),
    sa.Column("integration", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("told_at", _INSTANT, nullable=False),
    sa.CheckConstraint("state IN ('firing', 'resolved')", name="deliveries_state_check"),
    sa.Index("deliveries_told", "told_at"),
)
"""told_at  when it was told first"""

manual_alerts = sa.Table(
    "manual_alerts",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("starts_at", _INSTANT, nullable=False),
    sa.Column("until", _INSTANT, nullable=False),
    sa.Column("ended_at", _INSTANT),
    sa.Column("labels", postgresql.JSONB, nullable=False),
    sa.Column("annotations", postgresql.JSONB, nullable=False),
    sa.Column("raised_by", sa.Text, nullable=False),
    sa.CheckConstraint("until > starts_at", name="manual_alerts_until_check"),
    sa.Index(
        "manual_alerts_firing",
        "fingerprint",
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    ),
    sa.Index("manual_alerts_ended", "ended_at"),
)

used_links = sa.Table(
    "used_links",
    metadata,
    sa.Column("signature", sa.Text, primary_key=True),
    sa.Column("used_at", _INSTANT, nullable=False),
    sa.Column("used_by", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("expires_at", _INSTANT, nullable=False),
    sa.Index("used_links_expires", "expires_at"),
)
"""expires_at  of the address itself: later it opens nothing, used or not"""
