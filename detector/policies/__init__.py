"""`mda policy`: policies in files, checked without a server, and what is done with them there."""
