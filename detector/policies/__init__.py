"""`mda policy`: policies in files checked, previewed on history, applied to a running detector."""
