"""Whom Alertmanager has told of alerts by receivers of its own."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table; nothing that is there changes."""
    op.execute("""
        CREATE TABLE deliveries (
            fingerprint text NOT NULL,
            starts_at timestamptz NOT NULL,
            receiver text NOT NULL,
            integration text NOT NULL,
            state text NOT NULL,
            told_at timestamptz NOT NULL,
            CONSTRAINT deliveries_pkey
                PRIMARY KEY (fingerprint, starts_at, receiver, integration, state),
            CONSTRAINT deliveries_state_check CHECK (state IN ('firing', 'resolved'))
        )
    """)
    op.execute("CREATE INDEX deliveries_told ON deliveries (told_at)")


def downgrade() -> None:
    """Raises NotImplementedError."""
    raise NotImplementedError("migrations go forward only: restore a backup instead")
