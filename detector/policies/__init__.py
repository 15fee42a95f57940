"""`mda policy`: policies in files, checked and compiled without a server."""
