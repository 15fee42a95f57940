"""Alertmanager's receivers and routes, made from our settings.

A channel is a file here, and a line in table.py.
"""
