from __future__ import annotations

import subprocess
import sys

from tests import faults

POST = """\
import sys, requests
from detector import log
log.set_up("debug", "logfmt")
requests.post(sys.argv[1], data=b"it is well", timeout=5)
"""


def test_the_address_of_a_request_is_told_at_no_level() -> None:
    with faults.Receiver(lambda _: faults.Planned(200)) as outside:
        ran = subprocess.run(
            [sys.executable, "-c", POST, f"{outside.url}/canary?key=canary"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert len(outside.received) == 1
    assert "canary" not in ran.stdout + ran.stderr
