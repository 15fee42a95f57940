"""Policies and all that they have been."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute("""
        CREATE TABLE policies (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            name_key text COLLATE "C" NOT NULL,
            is_enabled boolean NOT NULL,
            revision integer NOT NULL,
            is_deleted boolean NOT NULL DEFAULT false
        )
    """)
    op.execute("""
        CREATE TABLE policy_revisions (
            policy_id bigint NOT NULL,
            revision integer NOT NULL,
            document json NOT NULL,
            change text NOT NULL,
            made_by text NOT NULL,
            made_at timestamptz NOT NULL,
            PRIMARY KEY (policy_id, revision),
            CONSTRAINT policy_revisions_policy_fkey FOREIGN KEY (policy_id)
                REFERENCES policies (id),
            CONSTRAINT policy_revisions_revision_check CHECK (revision > 0),
            CONSTRAINT policy_revisions_change_check CHECK (change IN
                ('created', 'changed', 'enabled', 'disabled', 'restored', 'deleted'))
        )
    """)
    op.execute("""
        ALTER TABLE policies ADD CONSTRAINT policies_revision_fkey FOREIGN KEY (id, revision)
            REFERENCES policy_revisions (policy_id, revision) DEFERRABLE INITIALLY DEFERRED
    """)
    op.execute("CREATE UNIQUE INDEX policies_name_key ON policies (name_key) WHERE NOT is_deleted")


def downgrade() -> None:
    """Raises NotImplementedError."""
    raise NotImplementedError("migrations go forward only: restore a backup instead")
