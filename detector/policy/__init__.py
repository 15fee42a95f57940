"""Policies: documents, and the Prometheus rules that they become. No I/O."""
