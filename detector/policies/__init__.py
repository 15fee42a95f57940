"""`mda policy`: policies in files, checked, compiled, and previewed on Prometheus' history."""
