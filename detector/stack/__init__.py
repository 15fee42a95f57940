"""The stack on one machine: its binaries, database, addresses, configuration and supervision."""
