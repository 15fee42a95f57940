"""What became of incidents that turned out to be part of another one."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.execute("""
        CREATE TABLE merged_incidents (
            id bigint PRIMARY KEY,
            into_id bigint NOT NULL,
            CONSTRAINT merged_incidents_into_fkey FOREIGN KEY (into_id)
                REFERENCES incidents (id) ON DELETE CASCADE
        )
    """)
    op.execute("CREATE INDEX merged_incidents_into ON merged_incidents (into_id)")


def downgrade() -> None:
    """Raises NotImplementedError."""
    raise NotImplementedError("migrations go forward only: restore a backup instead")
