"""Services that Alertmanager tells, as far as their HTTP goes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from tests import faults

ANSWERS: Mapping[str, tuple[int, object]] = {
    "/v2/enqueue": (202, {"status": "success", "message": "Event processed", "dedup_key": "k"}),
    "/v2/alerts": (202, {"result": "Request will be processed", "took": 0.1, "requestId": "r"}),
    "/teams": (202, {}),
    "/discord": (204, None),
    "/bot1:canary/sendMessage": (
        200,
        {
            "ok": True,
            "result": {"message_id": 1, "date": 1, "chat": {"id": -100123, "type": "group"}},
        },
    ),
}
"""What each service answers who has taken a message; any other path is answered 200 and ok."""


def services(refused: Collection[str] = ()) -> faults.Receiver:
    """All of them as one server; paths that are refused are answered 403."""

    def answer(received: faults.Received) -> faults.Planned:
        status, said = ANSWERS.get(received.path, (200, "ok"))
        if received.path in refused:
            status, said = 403, {"error": "no"}
        if isinstance(said, str):  # as Slack's webhooks do
            return faults.Planned(status, {"Content-Type": "text/plain"}, said.encode())
        body = b"" if said is None else json.dumps(said).encode()
        return faults.Planned(status, {"Content-Type": "application/json"}, body)

    return faults.Receiver(answer)
