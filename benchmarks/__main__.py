"""Every benchmark, one after the other; exits with 1 if a figure misses its limit.

`python -m benchmarks exporter cycle` runs those two.
"""

from __future__ import annotations

import importlib
import sys

NAMES = ("startup", "exporter", "first_read", "models", "server", "policies", "labelled", "cycle")


def main(names: list[str]) -> int:
    """0 if all figures keep their limits."""
    missed: list[str] = []
    for name in names:
        missed += importlib.import_module(f"benchmarks.{name}").main()
    print("\nall figures keep their limits" if not missed else f"\nmissed: {'; '.join(missed)}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(NAMES)))
