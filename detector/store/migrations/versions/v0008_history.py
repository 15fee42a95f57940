"""Episodes by months, with what became of each: acknowledged, silenced, judged."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Move what is there into partitions; nothing is lost."""
    for table in ("notifications", "episodes"):
        op.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    op.execute("ALTER TABLE old_episodes ALTER id DROP IDENTITY")
    for index in (
        "episodes_pkey",
        "episodes_fingerprint_starts_at_key",
        "episodes_newest_first",
        "episodes_labels",
        "notifications_pkey",
    ):
        op.execute(f"ALTER INDEX {index} RENAME TO old_{index}")
    op.execute("CREATE SEQUENCE episodes_id_seq")
    op.execute(r"""
        CREATE TABLE episodes (
            id bigint NOT NULL DEFAULT nextval('episodes_id_seq'),
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
            status text NOT NULL,
            owner text NOT NULL DEFAULT '',
            silence_id text NOT NULL DEFAULT '',
            feedback text,
            facts jsonb NOT NULL DEFAULT '{}',
            words tsvector GENERATED ALWAYS AS (to_tsvector('simple', regexp_replace(
                left(labels::text || ' ' || annotations::text, 100000),
                '[^[:alnum:]\u00c0-\u1fff\u3040-\U0010ffff]+', ' ', 'g'))) STORED,
            CONSTRAINT episodes_pkey PRIMARY KEY (id, starts_at),
            CONSTRAINT episodes_fingerprint_starts_at_key UNIQUE (fingerprint, starts_at),
            CONSTRAINT episodes_state_check CHECK (state IN ('firing', 'resolved')),
            CONSTRAINT episodes_resolved_has_end_check
                CHECK ((state = 'resolved') = (ends_at IS NOT NULL)),
            CONSTRAINT episodes_end_after_start_check CHECK (ends_at >= starts_at),
            CONSTRAINT episodes_updated_at_check CHECK (updated_at >= received_at),
            CONSTRAINT episodes_heard_at_check CHECK (heard_at >= updated_at),
            CONSTRAINT episodes_status_check CHECK (status IN
                ('firing', 'acknowledged', 'silenced', 'inhibited', 'resolved')),
            CONSTRAINT episodes_status_of_state_check
                CHECK ((status = 'resolved') = (state = 'resolved')),
            CONSTRAINT episodes_feedback_check
                CHECK (feedback IN ('true', 'false_alarm', 'planned'))
        ) PARTITION BY RANGE (starts_at)
    """)
    op.execute("ALTER SEQUENCE episodes_id_seq OWNED BY episodes.id")
    op.execute("CREATE INDEX episodes_newest_first ON episodes (starts_at DESC, id DESC)")
    op.execute("CREATE INDEX episodes_firing ON episodes (starts_at) WHERE state = 'firing'")
    op.execute("""
        CREATE TABLE notifications (
            episode_id bigint NOT NULL,
            starts_at timestamptz NOT NULL,
            state text NOT NULL,
            received_at timestamptz NOT NULL,
            receiver text NOT NULL,
            CONSTRAINT notifications_pkey PRIMARY KEY (episode_id, starts_at, state),
            CONSTRAINT notifications_state_check CHECK (state IN ('firing', 'resolved'))
        ) PARTITION BY RANGE (starts_at)
    """)
    op.execute("CREATE SEQUENCE transitions_id_seq")
    op.execute("""
        CREATE TABLE transitions (
            id bigint NOT NULL DEFAULT nextval('transitions_id_seq'),
            episode_id bigint NOT NULL,
            starts_at timestamptz NOT NULL,
            status text NOT NULL,
            at timestamptz NOT NULL,
            by text NOT NULL,
            note text NOT NULL,
            CONSTRAINT transitions_pkey PRIMARY KEY (id, starts_at),
            CONSTRAINT transitions_status_check CHECK (status IN
                ('pending', 'firing', 'acknowledged', 'silenced', 'inhibited'))
        ) PARTITION BY RANGE (starts_at)
    """)
    op.execute("ALTER SEQUENCE transitions_id_seq OWNED BY transitions.id")
    op.execute("CREATE INDEX transitions_episode ON transitions (episode_id)")
    op.execute("""
        CREATE UNIQUE INDEX transitions_pending_once ON transitions (episode_id, starts_at)
            WHERE status = 'pending'
    """)
    op.execute("""
        DO $$
        DECLARE parent text; month timestamptz;
        BEGIN
            FOREACH parent IN ARRAY ARRAY['episodes', 'notifications', 'transitions'] LOOP
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (MINVALUE) '
                    'TO (%L)', parent || '_early', parent, '2020-01-01 00:00:00+00');
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) '
                    'TO (MAXVALUE)', parent || '_late', parent, '2100-01-01 00:00:00+00');
                FOR month IN
                    SELECT DISTINCT date_trunc('month', starts_at, 'UTC') FROM old_episodes
                    WHERE starts_at >= '2020-01-01 00:00:00+00'
                        AND starts_at < '2100-01-01 00:00:00+00'
                LOOP
                    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                        parent || to_char(month AT TIME ZONE 'UTC', '_YYYYMM'), parent, month,
                        (month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
                END LOOP;
            END LOOP;
        END $$
    """)
    # Starts have whole milliseconds from now on, by which alerts that last are known again; the
    # rare two of one alert in one millisecond stay as they are.
    op.execute("""
        INSERT INTO episodes (id, fingerprint, starts_at, ends_at, state, labels, annotations,
            generator_url, received_at, updated_at, heard_at, status)
        SELECT id, fingerprint,
            CASE count(*) OVER (PARTITION BY fingerprint, date_trunc('milliseconds', starts_at))
                WHEN 1 THEN date_trunc('milliseconds', starts_at) ELSE starts_at END,
            ends_at, state, labels, annotations,
            generator_url, received_at, updated_at, heard_at, state
        FROM old_episodes
    """)
    # After the rows: such an index is made much faster than it is added to.
    op.execute("CREATE INDEX episodes_labels ON episodes USING gin (labels jsonb_path_ops)")
    op.execute("CREATE INDEX episodes_words ON episodes USING gin (words)")
    op.execute("""
        INSERT INTO notifications (episode_id, starts_at, state, received_at, receiver)
        SELECT heard.episode_id, told.starts_at, heard.state, heard.received_at, heard.receiver
        FROM old_notifications AS heard JOIN episodes AS told ON told.id = heard.episode_id
    """)
    op.execute("""
        UPDATE told SET starts_at = date_trunc('milliseconds', starts_at)
        WHERE starts_at <> date_trunc('milliseconds', starts_at) AND NOT EXISTS (
            SELECT FROM told AS other
            WHERE other.recipient = told.recipient AND other.fingerprint = told.fingerprint
                AND other.state = told.state AND other.starts_at <> told.starts_at
                AND date_trunc('milliseconds', other.starts_at)
                    = date_trunc('milliseconds', told.starts_at)
        )
    """)
    op.execute("""
        SELECT setval('episodes_id_seq', greatest(coalesce(max(id), 0), 1), count(*) > 0)
        FROM old_episodes
    """)
    op.execute("DROP TABLE old_notifications")
    op.execute("DROP TABLE old_episodes")


def downgrade() -> None:
    """Raises NotImplementedError."""
    raise NotImplementedError("migrations go forward only: restore a backup instead")
