"""`mda alerts test`: a marked message on the whole road that an alert takes to people."""
