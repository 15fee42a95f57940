"""Messages that we send, and who was told what."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute("""
        CREATE TABLE messages (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            reference text NOT NULL,
            recipient text NOT NULL,
            text text NOT NULL,
            parts integer NOT NULL,
            severity text NOT NULL,
            state text NOT NULL,
            created_at timestamptz NOT NULL,
            due_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            handed_at timestamptz,
            attempts integer NOT NULL DEFAULT 0,
            provider text NOT NULL,
            provider_id text NOT NULL DEFAULT '',
            price double precision NOT NULL,
            reason text NOT NULL DEFAULT '',
            again boolean NOT NULL DEFAULT false,
            follows_id bigint,
            CONSTRAINT messages_follows_id_fkey FOREIGN KEY (follows_id)
                REFERENCES messages (id) ON DELETE SET NULL,
            CONSTRAINT messages_reference_key UNIQUE (reference),
            CONSTRAINT messages_follows_id_key UNIQUE (follows_id),
            CONSTRAINT messages_state_check CHECK (state IN
                ('queued', 'sending', 'sent', 'delivered', 'failed', 'unknown', 'dropped')),
            CONSTRAINT messages_counts_check CHECK (parts > 0 AND attempts >= 0)
        )
    """)
    op.execute("CREATE INDEX messages_queued ON messages (due_at) WHERE state = 'queued'")
    op.execute("CREATE INDEX messages_sending ON messages (handed_at) WHERE state = 'sending'")
    op.execute("CREATE INDEX messages_handed ON messages (handed_at)")
    op.execute("CREATE INDEX messages_updated ON messages (updated_at)")
    op.execute("""
        CREATE TABLE message_events (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            message_id bigint NOT NULL,
            at timestamptz NOT NULL,
            state text NOT NULL,
            provider text NOT NULL,
            reason text NOT NULL,
            CONSTRAINT message_events_message_id_fkey FOREIGN KEY (message_id)
                REFERENCES messages (id) ON DELETE CASCADE
        )
    """)
    op.execute("CREATE INDEX message_events_message ON message_events (message_id)")
    op.execute("""
        CREATE TABLE told (
            recipient text NOT NULL,
            fingerprint text NOT NULL,
            starts_at timestamptz NOT NULL,
            state text NOT NULL,
            message_id bigint,
            told_at timestamptz NOT NULL,
            PRIMARY KEY (recipient, fingerprint, starts_at, state),
            CONSTRAINT told_message_id_fkey FOREIGN KEY (message_id)
                REFERENCES messages (id) ON DELETE CASCADE,
            CONSTRAINT told_state_check CHECK (state IN ('firing', 'resolved'))
        )
    """)
    op.execute("CREATE INDEX told_message ON told (message_id)")


def downgrade() -> None:
    """Raises NotImplementedError."""
    raise NotImplementedError("migrations go forward only: restore a backup instead")
