"""What people say of alerts, the alerts that they raise, and the addresses that they used."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing that is there changes."""
    op.execute("""
        ALTER TABLE transitions
            ADD COLUMN feedback text,
            ADD CONSTRAINT transitions_feedback_check
                CHECK (feedback IN ('true', 'false_alarm', 'planned')),
            DROP CONSTRAINT transitions_status_check,
            ADD CONSTRAINT transitions_status_check CHECK (status IN
                ('pending', 'firing', 'acknowledged', 'silenced', 'inhibited', 'resolved'))
    """)
    op.execute("""
        CREATE TABLE manual_alerts (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            fingerprint text NOT NULL,
            starts_at timestamptz NOT NULL,
            until timestamptz NOT NULL,
            ended_at timestamptz,
            labels jsonb NOT NULL,
            annotations jsonb NOT NULL,
            raised_by text NOT NULL,
            CONSTRAINT manual_alerts_until_check CHECK (until > starts_at)
        )
    """)
    op.execute("""
        CREATE UNIQUE INDEX manual_alerts_firing ON manual_alerts (fingerprint)
            WHERE ended_at IS NULL
    """)
    op.execute("CREATE INDEX manual_alerts_ended ON manual_alerts (ended_at)")
    op.execute("""
        CREATE TABLE used_links (
            signature text PRIMARY KEY,
            used_at timestamptz NOT NULL,
            used_by text NOT NULL,
            what text NOT NULL,
            expires_at timestamptz NOT NULL
        )
    """)
    op.execute("CREATE INDEX used_links_expires ON used_links (expires_at)")


def downgrade() -> None:
    """Raises NotImplementedError."""
    raise NotImplementedError("migrations go forward only: restore a backup instead")
