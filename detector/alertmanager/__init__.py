"""What we ask of Alertmanager, over its API v2."""
