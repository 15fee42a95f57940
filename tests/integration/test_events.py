"""Whom a real Alertmanager says to have told, seen in the API."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from detector import config
from detector.stack import debian
from detector.stack.receivers import versions
from tests import conftest, faults, stack
from tests.integration import world

pytestmark = pytest.mark.usefixtures("compiled_kernels")


def test_an_alert_tells_whom_alertmanager_has_told_of_it(
    stack_binaries: stack.Binaries,
    prometheus: conftest.MakePrometheus,
    alertmanager: conftest.MakeAlertmanager,
    own_postgres: stack.Postgres,
    tmp_path: pathlib.Path,
) -> None:
    """A mail arrives and its end too; Slack refuses; SMS are ours."""
    if stack_binaries.suite is not debian.Suite.NEXT:
        pytest.skip("the event recorder takes a newer Alertmanager: run with STACK=next")
    program = stack_binaries.find("alertmanager")
    version = versions.of(config.load(None, {}), address=None, program=program)
    with world.Outside().open() as outside:
        outside.answers["slack"] = faults.Planned(400, body=b"invalid_token")
        whole = world.World(
            outside,
            prometheus(),
            alertmanager,
            own_postgres.url,
            tmp_path,
            version=version,
        )
        try:
            whole.post(world.alert(instance="web-1"))
            told = stack.wait_until(lambda: by_email(whole, 1), 60, "the mail to be told of")
            whole.post(world.alert(instance="web-1", ended=True))
            ended = stack.wait_until(lambda: by_email(whole, 2), 60, "its end to be told of")
            metrics = whole.detector.metrics()
            deliveries = whole.api("/api/alerts/1")["deliveries"]
        finally:
            whole.close()
    assert [each["of"] for each in told] == ["firing"]
    assert [(each["of"], each["state"], each["provider"]) for each in ended] == [
        ("firing", "sent", "email"),
        ("resolved", "sent", "email"),
    ]
    states = {each["channel"]: each["state"] for each in deliveries if each["channel"] != "sms"}
    assert states == {"email": "sent", "slack": "unknown_per_alert"}
    assert len(outside.smtp.taken) == 2
    for outcome in ("refused", "failed"):
        assert f'detector_webhook_events_total{{outcome="{outcome}"}} 0.0' in metrics


def by_email(whole: world.World, count: int) -> list[dict[str, Any]]:
    """What is known of mails; nothing until there are so many, and Slack is known to be asked."""
    if not whole.api("/api/alerts")["alerts"]:
        return []
    found = whole.api("/api/alerts/1")["deliveries"]
    mails = [each for each in found if each["channel"] == "email" and each["state"] == "sent"]
    is_asked = any(each["channel"] == "slack" for each in found)
    return mails if is_asked and len(mails) == count else []
