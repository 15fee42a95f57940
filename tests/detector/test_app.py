from __future__ import annotations

import platform
import subprocess
import sys

import pytest

KEPT = """
import threading
import numpy as np
from detector import app

def resident_mib():
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024

def score_blocks():
    for _ in range(4):
        blocks = []
        for _ in range(6):
            blocks.append(np.ones(2_000_000))
            lasting.append(np.ones(5_000))

{setting}
lasting, before = [], resident_mib()
thread = threading.Thread(target=score_blocks)
thread.start()
thread.join()
print(resident_mib() - before)
"""


def kept_mib(setting: str) -> float:
    """What a process keeps of the blocks that a thread of it has freed."""
    argv = [sys.executable, "-c", KEPT.replace("{setting}", setting)]
    return float(subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's way to keep memory")
def test_memory_of_freed_blocks_is_returned() -> None:
    assert kept_mib("") > 50  # else there is nothing to do any more
    assert kept_mib("app.return_freed_memory()") < 10
