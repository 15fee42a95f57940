"""`mda score`: scores of series in files; builds what it needs, as app does for the server."""
