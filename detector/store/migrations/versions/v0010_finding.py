"""Alerts found by owner, by feedback and by their end; until when they were watched."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add indexes and a table; nothing that is there changes."""
    op.execute("""
        CREATE INDEX episodes_owned ON episodes (owner, starts_at DESC, id DESC)
            WHERE owner <> ''
    """)
    op.execute("""
        CREATE INDEX episodes_judged ON episodes (feedback, starts_at DESC, id DESC)
            WHERE feedback IS NOT NULL
    """)
    op.execute("""
        CREATE INDEX episodes_long ON episodes (ends_at, starts_at)
            WHERE ends_at - starts_at > interval '1 day'
    """)
    op.execute("CREATE INDEX told_alert ON told (fingerprint, starts_at)")
    op.execute("""
        CREATE TABLE watched (
            name text CONSTRAINT watched_pkey PRIMARY KEY,
            until timestamptz NOT NULL
        )
    """)


def downgrade() -> None:
    """Raises NotImplementedError."""
    raise NotImplementedError("migrations go forward only: restore a backup instead")
