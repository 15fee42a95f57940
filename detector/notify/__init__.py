"""Providers that send an SMS: a file each, and a table of them in catalogue.py.

They keep one rule, as an SMS costs money and must be neither lost nor doubled: what surely has not
left this machine, or was turned down in so many words, is Refused; what surely was taken is
Accepted; all else is Unclear, and is never sent again by the provider itself.
"""
