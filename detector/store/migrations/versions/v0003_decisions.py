"""Decision records of anomalies; and an index by which old incidents are found."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create table and index."""
    op.execute("""
        CREATE TABLE decisions (
            query text NOT NULL,
            series bytea NOT NULL,
            opened_at timestamptz NOT NULL,
            peak_at timestamptz NOT NULL,
            record bytea NOT NULL,
            PRIMARY KEY (query, series, opened_at),
            CONSTRAINT decisions_anomaly_fkey FOREIGN KEY (query, series, opened_at)
                REFERENCES anomalies (query, series, opened_at) ON DELETE CASCADE
        )
    """)
    # It is compressed already.
    op.execute("ALTER TABLE decisions ALTER COLUMN record SET STORAGE EXTERNAL")
    op.execute("CREATE INDEX incidents_ended ON incidents (ended_at)")


def downgrade() -> None:
    """Raises NotImplementedError."""
    raise NotImplementedError("migrations go forward only: restore a backup instead")
