"""Texts of messages that have room."""

from __future__ import annotations

from datetime import UTC

from detector import alerts, letters
from tests.factories import at, notification


def told(number: int = 1, *, ended: bool = False, **annotations: str) -> alerts.Notification:
    return notification(
        f"{number:016x}",
        ends_at=at(720) if ended else None,
        labels=(("alertname", "HighCpu"), ("instance", f"web-{number}"), ("severity", "high")),
        annotations=tuple(sorted(annotations.items())),
    )


def test_below_the_line_stands_what_the_annotations_know() -> None:
    one = told(
        summary="CPU is busy",
        description="for\n5 minutes",
        value="93 %",
        expected="20 %",
        cause="backup",
        graph_url="https://graph.example.org",
        runbook="https://runbook.example.org",
        ack_url="https://ack.example.org",
        silence_url="https://silence.example.org",
    )
    assert letters.text([one], UTC).splitlines() == [
        "FIRING high HighCpu: CPU is busy, web-1, since 12:00 UTC",
        "for 5 minutes",
        "value 93 %, expected 20 %",
        "likely cause: backup",
        "https://graph.example.org",
        "https://runbook.example.org",
        "https://ack.example.org",
        "https://silence.example.org",
    ]


def test_what_is_over_is_told_without_its_links_and_values() -> None:
    over = told(ended=True, summary="CPU is busy", value="93 %", graph_url="https://a.example.org")
    assert letters.text([over], UTC) == "RESOLVED HighCpu: CPU is busy, web-1, after 12 min"


def test_a_group_is_told_one_by_one_up_to_a_limit() -> None:
    lines = letters.text([told(n, summary=f"busy {n}") for n in range(12)], UTC).splitlines()
    assert lines[1:3] == ["- web-0: busy 0", "- web-1: busy 1"]
    assert lines[-1] == "and 2 more"
    assert len(lines) == 12
    all_told = letters.text([told(n, summary=f"busy {n}") for n in range(10)], UTC).splitlines()
    assert all_told[-1] == "- web-9: busy 9"


def test_however_long_a_label_is_a_message_fits() -> None:
    huge = told(summary="x" * 200_000, description="y " * 100_000)
    text = letters.text([huge], UTC)
    assert len(text) <= letters.LONGEST
    assert all(len(line) <= letters.LONGEST_LINE for line in text.splitlines())
    many = [told(n, summary="z" * 500, description="d" * 500) for n in range(50)]
    assert len(letters.text(many, UTC)) == letters.LONGEST


def test_what_just_fits_is_left_as_it_is() -> None:
    line = "x" * letters.LONGEST_LINE
    assert letters.text([told(description=line)], UTC).splitlines()[1] == line
    assert letters.text([told(description=f"{line}x")], UTC).splitlines()[1] == f"{line[:-3]}..."
    full = dict.fromkeys(("description", "cause", *letters.LINKS), line)
    room = letters.LONGEST - len(letters.text([told(1, ended=False, **full, value="y")], UTC)) + 1
    whole = letters.text([told(1, ended=False, **full, value="y" * room)], UTC)
    assert (len(whole), whole[-3:]) == (letters.LONGEST, "xxx")
    over = letters.text([told(1, ended=False, **full, value="y" * (room + 1))], UTC)
    assert (len(over), over[-3:]) == (letters.LONGEST, "...")
