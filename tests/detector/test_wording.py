"""Texts of SMS as people read them."""

from __future__ import annotations

import zoneinfo
from datetime import UTC

import pytest

from detector import alerts, frames, wording
from tests.factories import at


def told(
    name: str = "HostHighCpu",
    state: alerts.State = alerts.State.FIRING,
    *,
    start: float = 0,
    summary: str = "",
    **labels: str,
) -> alerts.Notification:
    is_over = state is alerts.State.RESOLVED
    annotations = {"summary": summary} if summary else {}
    return alerts.Notification(
        fingerprint=alerts.Fingerprint(f"{name}{sorted(labels.items())}"),
        starts_at=at(start),
        ends_at=at(start + 720) if is_over else None,
        state=state,
        labels=frames.labels_from_pairs({"alertname": name, **labels}.items()),
        annotations=frames.labels_from_pairs(annotations.items()),
        generator_url="",
        receiver="sms",
    )


def test_one_alert_is_told_by_its_summary_and_where() -> None:
    one = told(summary="CPU is 93 % busy", severity="high", instance="web-1", job="node")
    clock = f"{at(0):%H:%M} UTC"
    assert wording.sms([one], UTC) == (
        f"FIRING high HostHighCpu: CPU is 93 % busy, web-1, since {clock}"
    )
    named = told(summary="web-1 is 93 % busy", severity="high", instance="web-1")
    assert (
        wording.sms([named], UTC) == f"FIRING high HostHighCpu: web-1 is 93 % busy, since {clock}"
    )
    over = told(state=alerts.State.RESOLVED, summary="CPU is 93 % busy", instance="web-1")
    assert wording.sms([over], UTC) == (
        "RESOLVED HostHighCpu: CPU is 93 % busy, web-1, after 12 min"
    )


def test_a_group_names_its_places_and_how_many_more() -> None:
    group = [told(severity="warning", instance=f"web-{number}", job="a") for number in range(7)]
    group.insert(0, told(severity="critical", instance="db-1", summary="busy\nindeed"))
    text = wording.sms(group, UTC)
    assert text.startswith(
        "FIRING critical HostHighCpu, 8 instances: db-1, web-0, web-1, web-2, web-3 and 3 more, "
    )
    assert text.endswith("busy indeed")


def test_a_group_that_differs_in_another_label_names_that() -> None:
    disks = [told("DiskFull", instance="a", mountpoint=each) for each in ("/", "/var")]
    assert ", 2 mountpoints: /, /var on a, since " in wording.sms(disks, UTC)
    queues = [told("Deep", queue=each) for each in ("mail", "jobs")]
    assert ", 2 queue values: mail, jobs, " in wording.sms(queues, UTC)
    odd = [told("AnomalyDetected", instance="a", query=each, kind="spike") for each in ("x", "y")]
    assert ", 2 queries: x, y on a, since" in wording.sms(odd, UTC)
    alike = [told("Same", start=start, instance="a") for start in (0, 60)]
    assert ", 2 alerts on a, since " in wording.sms(alike, UTC)


def test_several_names_and_ended_ones_stand_apart() -> None:
    text = wording.sms(
        [
            told("A", severity="info", instance="x"),
            told("B", severity="high", instance="y"),
            told("C", alerts.State.RESOLVED, instance="z"),
        ],
        UTC,
    )
    assert text.startswith("FIRING high A: x, since ")
    assert "; B: y, since " in text
    assert text.endswith("; RESOLVED C: z, after 12 min")


def test_times_are_those_of_the_zone() -> None:
    text = wording.sms([told(instance="x")], zoneinfo.ZoneInfo("Asia/Kolkata"))
    assert text.endswith(f"since {at(5.5 * 3600):%H:%M} IST")


def test_an_alert_without_anything_has_a_text_too() -> None:
    bare = alerts.Notification(
        alerts.Fingerprint("f"), at(0), None, alerts.State.FIRING, (), (), "", "sms"
    )
    assert wording.sms([bare], UTC) == f"FIRING alert, since {at(0):%H:%M} UTC"
    with pytest.raises(ValueError, match="nothing"):
        wording.sms([], UTC)
