"""Alembic's migrations: forward only, each one transaction."""
