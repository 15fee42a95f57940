"""Anomalies of single series, and the incidents they belong to."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables."""
    op.execute("""
        CREATE TABLE incidents (
            id bigint PRIMARY KEY,
            opened_at timestamptz NOT NULL,
            ended_at timestamptz,
            members integer NOT NULL,
            peak_score double precision NOT NULL,
            first_query text NOT NULL,
            first_labels jsonb NOT NULL,
            causes jsonb NOT NULL DEFAULT '[]',
            CONSTRAINT incidents_end_after_opening_check CHECK (ended_at >= opened_at),
            CONSTRAINT incidents_members_check CHECK (members > 0)
        )
    """)
    op.execute("CREATE INDEX incidents_newest_first ON incidents (opened_at DESC, id DESC)")
    op.execute("""
        CREATE TABLE anomalies (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            incident_id bigint NOT NULL
                REFERENCES incidents (id) DEFERRABLE INITIALLY DEFERRED,
            query text NOT NULL,
            series bytea NOT NULL,
            labels jsonb NOT NULL,
            opened_at timestamptz NOT NULL,
            ended_at timestamptz,
            kind text NOT NULL,
            peak_at timestamptz NOT NULL,
            peak_score double precision NOT NULL,
            value double precision NOT NULL,
            expected double precision NOT NULL,
            lower double precision NOT NULL,
            upper double precision NOT NULL,
            last_at timestamptz NOT NULL,
            last_score double precision NOT NULL,
            explanation jsonb NOT NULL,
            CONSTRAINT anomalies_query_series_opened_at_key UNIQUE (query, series, opened_at),
            CONSTRAINT anomalies_end_after_opening_check CHECK (ended_at >= opened_at),
            CONSTRAINT anomalies_peak_check CHECK (peak_at BETWEEN opened_at AND last_at)
        )
    """)
    op.execute("CREATE INDEX anomalies_newest_first ON anomalies (opened_at DESC, id DESC)")
    op.execute("CREATE INDEX anomalies_incident ON anomalies (incident_id)")
    op.execute("CREATE INDEX anomalies_labels ON anomalies USING gin (labels jsonb_path_ops)")


def downgrade() -> None:
    """Raises NotImplementedError."""
    raise NotImplementedError("migrations go forward only: restore a backup instead")
