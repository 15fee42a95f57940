"""Tokens of the API."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.execute("""
        CREATE TABLE tokens (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            selector bytea NOT NULL,
            verifier bytea NOT NULL,
            name text NOT NULL,
            role text NOT NULL,
            created_at timestamptz NOT NULL,
            created_by text NOT NULL,
            expires_at timestamptz,
            last_used_at timestamptz,
            CONSTRAINT tokens_selector_key UNIQUE (selector),
            CONSTRAINT tokens_name_key UNIQUE (name),
            CONSTRAINT tokens_digest_check
                CHECK (octet_length(selector) = 8 AND octet_length(verifier) = 24),
            CONSTRAINT tokens_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'),
            CONSTRAINT tokens_role_check CHECK (role IN ('viewer', 'operator', 'admin')),
            CONSTRAINT tokens_end_after_creation_check CHECK (expires_at > created_at)
        )
    """)


def downgrade() -> None:
    """Raises NotImplementedError."""
    raise NotImplementedError("migrations go forward only: restore a backup instead")
