"""The conditions of policies, one file each, and their table."""
