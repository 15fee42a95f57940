"""The choice of devices by name that diskstats and netdev share."""

from __future__ import annotations

import re
from collections.abc import Callable

from exporter import config

Choice = Callable[[bytes], bool]


def device_filter(settings: config.DeviceFilter) -> Choice:
    """Whether a device is wanted; each name is matched once and remembered."""
    include = re.compile(settings.device_include.encode()) if settings.device_include else None
    exclude = re.compile(settings.device_exclude.encode()) if settings.device_exclude else None
    known: dict[bytes, bool] = {}

    def is_wanted(device: bytes) -> bool:
        if device not in known:
            if len(known) > 10_000:  # short-lived devices must not pile up
                known.clear()
            if include is not None:
                known[device] = include.search(device) is not None
            else:
                known[device] = exclude is None or exclude.search(device) is None
        return known[device]

    return is_wanted
