"""Episodes of alerts, notifications about them, and fits of models."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of the first release."""
    op.execute("""
        CREATE TABLE episodes (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            fingerprint text NOT NULL,
            starts_at timestamptz NOT NULL,
            ends_at timestamptz,
            state text NOT NULL,
            labels jsonb NOT NULL,
            annotations jsonb NOT NULL,
            generator_url text NOT NULL,
            received_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            heard_at timestamptz NOT NULL,
            CONSTRAINT episodes_fingerprint_starts_at_key UNIQUE (fingerprint, starts_at),
            CONSTRAINT episodes_state_check CHECK (state IN ('firing', 'resolved')),
            CONSTRAINT episodes_resolved_has_end_check
                CHECK ((state = 'resolved') = (ends_at IS NOT NULL)),
            CONSTRAINT episodes_end_after_start_check CHECK (ends_at >= starts_at),
            CONSTRAINT episodes_updated_at_check CHECK (updated_at >= received_at),
            CONSTRAINT episodes_heard_at_check CHECK (heard_at >= updated_at)
        )
    """)
    op.execute("CREATE INDEX episodes_newest_first ON episodes (starts_at DESC, id DESC)")
    op.execute("CREATE INDEX episodes_labels ON episodes USING gin (labels jsonb_path_ops)")
    op.execute("""
        CREATE TABLE notifications (
            episode_id bigint NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
            state text NOT NULL,
            received_at timestamptz NOT NULL,
            receiver text NOT NULL,
            PRIMARY KEY (episode_id, state),
            CONSTRAINT notifications_state_check CHECK (state IN ('firing', 'resolved'))
        )
    """)
    op.execute("""
        CREATE TABLE fits (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            query text NOT NULL,
            model text NOT NULL,
            parameters jsonb NOT NULL,
            seed bigint NOT NULL,
            rows bigint NOT NULL,
            features integer NOT NULL,
            window_start timestamptz NOT NULL,
            window_end timestamptz NOT NULL,
            quantiles double precision[] NOT NULL,
            fitted_at timestamptz NOT NULL,
            duration_s double precision NOT NULL,
            CONSTRAINT fits_size_check CHECK (rows >= 0 AND features >= 0),
            CONSTRAINT fits_window_check CHECK (window_end >= window_start),
            CONSTRAINT fits_duration_check CHECK (duration_s >= 0)
        )
    """)
    op.execute("CREATE INDEX fits_newest_first ON fits (query, model, fitted_at DESC)")


def downgrade() -> None:
    """Raises NotImplementedError."""
    raise NotImplementedError("migrations go forward only: restore a backup instead")
