"""Every benchmark, one after the other; exits with 1 if a figure misses its limit.

`python -m benchmarks exporter cycle` runs those two; `alerts --rows 10000000` with so many alerts.
"""

from __future__ import annotations

import argparse
import importlib
import sys

NAMES = (
    "startup",
    "exporter",
    "first_read",
    "models",
    "server",
    "policies",
    "alerts",
    "labelled",
    "cycle",
)


def main(arguments: list[str]) -> int:
    """0 if all figures keep their limits."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--rows", type=int, help="alerts that the benchmark `alerts` loads")
    given = parser.parse_args(arguments)
    missed: list[str] = []
    for name in given.names or NAMES:
        if name not in NAMES:
            parser.error(f"{name}: none of {', '.join(NAMES)}")
        has_rows = name == "alerts" and given.rows is not None
        run = importlib.import_module(f"benchmarks.{name}").main
        missed += run(given.rows) if has_rows else run()
    print("\nall figures keep their limits" if not missed else f"\nmissed: {'; '.join(missed)}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
