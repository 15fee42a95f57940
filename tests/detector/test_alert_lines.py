"""`mda alerts` about a running detector: the command against a real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detector import alert_lines, alerts, errors
from tests import stack
from tests.detector import test_cli
from tests.detector.api.conftest import API_TOKEN, Served, served
from tests.factories import at, delivery, notification

__all__ = ["served"]  # the fixture


class Shell:
    """Runs `mda alerts` in a folder with a token file."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        (folder / "token").write_text(f"{API_TOKEN}\n")

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        ran = test_cli.run(self.folder, "alerts", *arguments, "--url", self.url)
        return ran.returncode, ran.stdout, ran.stderr


@pytest.fixture
def mda(tmp_path: Path, served: Served) -> Shell:
    for number in (1, 2):
        labels = (
            ("alertname", "HighCpu"),
            ("instance", f"web-{number}"),
            ("severity", "high"),
            ("zone", "\x1b[2Jred"),
        )
        served.alertmanager.post([alerts.Posted(labels, (), at(0), at(86_400))])
        one = notification(
            alerts.fingerprint_of(labels), labels=labels, starts_at=at(0), ends_at=None
        )
        served.store.record([one], received_at=at(0))
    return Shell(tmp_path, served.url)


def test_alerts_are_listed_and_shown(mda: Shell) -> None:
    status, out, err = mda("list")
    assert (status, err) == (0, "")
    assert out == (
        "ID  STATUS  SEVERITY  SINCE (UTC)       ALERT    WHERE  OWNER  FEEDBACK\n"
        "2   firing  high      2026-03-01 12:00  HighCpu  web-2\n"
        "1   firing  high      2026-03-01 12:00  HighCpu  web-1\n"
    )
    assert [
        each["id"] for each in json.loads(mda("list", "--limit", "1", "--json")[1])["alerts"]
    ] == [2]
    assert mda("list", "--label", "instance:web-1")[1].count("HighCpu") == 1
    assert mda("list", "--status", "resolved")[1].count("\n") == 1
    status, out, err = mda("show", "1")
    assert (status, err) == (0, "")
    assert out == (
        "alert 1: HighCpu: firing\n"
        "CPU is at 93 %\n"
        "since 2026-03-01 12:00:00 UTC\n"
        "labels:\n"
        "  alertname: HighCpu\n"
        "  instance: web-1\n"
        "  severity: high\n"
        "  zone: \\x1b[2Jred\n"
        "history:\n"
        "  2026-03-01 12:00:00 UTC  firing\n"
    )


@pytest.mark.parametrize("limit", ["0", "-3"])
def test_a_list_of_no_alerts_is_refused(mda: Shell, limit: str) -> None:
    assert mda("list", "--limit", limit) == (
        2,
        "",
        f"mda: --limit: {limit}: 1 or more is allowed\n",
    )


def test_a_detector_that_is_away_is_said_in_words(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{stack.free_port()}"
    status, out, err = Shell(tmp_path, nobody)("list")
    assert (status, out) == (1, "")
    assert err == f"mda: {nobody}: cannot be reached: is the detector running there?\n"


def test_whom_an_alert_was_told_to_is_shown(mda: Shell, served: Served) -> None:
    _, first = served.store.list_episodes(alerts.EpisodeFilter()).episodes
    served.store.learn({first.key: ((alerts.RECEIVERS, "email, memory, slack"),)})
    served.deliveries.record([delivery(first.fingerprint)])
    assert mda("show", "1")[1].partition("told:\n")[2] == (
        "  2026-03-01 12:00:05 UTC  email: sent (firing)\n"
        "  slack: not known per alert: see alertmanager_notifications_total and _failed_total\n"
    )


def test_alerts_are_acknowledged_and_given_back(mda: Shell, served: Served) -> None:
    assert mda("ack", "1", "2", "--note", "looking", "--for", "30m") == (
        0,
        "alert 1: HighCpu: acknowledged for 30m\nalert 2: HighCpu: acknowledged for 30m\n",
        "",
    )
    status, out, err = mda("ack", "1", "17")
    assert (status, out) == (1, "")
    assert "mda: alert 1: token file has acknowledged it already" in err
    assert "mda: alert_id: 17: no alert has this id" in err
    assert mda("ack", "17")[0] == 1
    assert "acknowledged by token file: looking" in mda("show", "1")[1]
    assert mda("unack", "1") == (0, "alert 1: HighCpu: acknowledged no more\n", "")
    told = json.loads(mda("ack", "1", "--owner", "ann", "--json")[1])["alerts"]
    assert [each["owner"] for each in told] == ["ann"]


def test_alert_is_silenced_and_a_broad_silence_is_shown_first(mda: Shell) -> None:
    status, out, _ = mda("silence", "1", "--for", "2h", "--reason", "a move")
    assert (status, out) == (0, "alert 1: HighCpu: silenced for 2h (silence silence-1)\n")
    wide = ("silence", "2", "--for", "2h", "--reason", "a move", "--matcher", "instance=~web-.*")
    status, out, err = mda(*wide)
    assert (status, out) == (1, "")
    lines = err.splitlines()
    assert "it would mute 2 of 2 alerts that fire" in lines[0]
    assert "  alertname=HighCpu instance=web-1 severity=high zone=\\x1b[2Jred" in lines
    *_, confirm = lines[-1].split()
    assert lines[-1] == f"mda: to make it, add --confirm {confirm}"
    assert mda(*wide, "--confirm", confirm)[0] == 0


def test_alerts_are_judged_and_ended(mda: Shell) -> None:
    status, out, _ = mda("feedback", "1", "--was", "false_alarm", "--note", "a backup")
    assert (status, out) == (0, "alert 1: HighCpu: feedback: false_alarm\n")
    assert "feedback: false_alarm by token file: a backup" in mda("show", "1")[1]
    status, _, err = mda("resolve", "1")
    assert (status, "even_if_it_comes_back" in err) == (1, True)
    status, out, _ = mda("resolve", "1", "--even-if-it-comes-back")
    assert status == 0
    assert out.startswith("alert 1: HighCpu: ended: Alertmanager was told that it is over; while")


def test_alert_is_raised(mda: Shell, served: Served) -> None:
    status, out, err = mda(
        *("raise", "Door open", "--summary", "the back", "--severity", "high"),
        *("--label", "door=back", "--team", "house", "--for", "2h"),
    )
    assert (status, out, err) == (
        0,
        "alert 3: Door open: raised until 2026-03-01T14:00:00Z\n",
        "",
    )
    assert [dict(each.labels).get("door") for each in served.alertmanager.held()][-1] == "back"
    assert mda("raise", "Door open", "--summary", "x", "--label", "door")[0] == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", ("a", "b", False, True)),
        ("a!=b", ("a", "b", False, False)),
        ("a=~b", ("a", "b", True, True)),
        ("a!~b", ("a", "b", True, False)),
        (' a = "b c" ', ("a", "b c", False, True)),
        (r'a="b\"c\\"', ("a", 'b"c\\', False, True)),
        ("a=", ("a", "", False, True)),
        ('a="', ("a", '"', False, True)),
        ('a=""', ("a", "", False, True)),
        ("a==b", ("a", "=b", False, True)),
    ],
)
def test_matchers_are_written_as_amtool_takes_them(
    text: str, expected: tuple[str, str, bool, bool]
) -> None:
    assert tuple(alert_lines.matcher_of(text).values()) == expected


@pytest.mark.parametrize("text", ["", "a", "=b", "!~"])
def test_what_is_no_matcher_is_said(text: str) -> None:
    with pytest.raises(errors.ConfigError, match="name=value, name!=value"):
        alert_lines.matcher_of(text)


@pytest.mark.parametrize("text", ["", "a", "=b", "a=", "a:b"])
def test_what_is_no_label_is_said(text: str) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        alert_lines.pair_of(text, "=", "--label")
    assert str(caught.value) == f"--label: {text}: name=value is allowed"


def test_a_label_ends_at_the_first_sign() -> None:
    assert alert_lines.pair_of("a=b=c", "=", "--label") == ("a", "b=c")


@pytest.mark.parametrize(
    ("labels", "where"),
    [
        ({"instance": "web-1", "zone": "a"}, "web-1"),
        ({"severity": "high", "team": "a", "job": "b", "query": "c", "policy_rule": "1"}, ""),
        ({"region": "eu", "service": "s3"}, "region=eu service=s3"),
        ({"instance": "x" * 60}, "x" * 60),
        ({"instance": "x" * 61}, "x" * 59 + "…"),
        ({"instance": "\x1b" * 40}, "\\x1b" * 14 + "\\x1…"),
    ],
)
def test_a_row_says_where_in_one_short_cell(labels: dict[str, str], where: str) -> None:
    row = {
        "id": 1,
        "status": "firing",
        "labels": {"alertname": "A", **labels},
        "starts_at": "2026-03-01T12:00:00Z",
        "owner": "ann",
        "feedback": None,
    }
    heads, line = alert_lines.table_of([row]).splitlines()
    cell = line[heads.index("WHERE") : heads.index("OWNER")]
    assert cell.rstrip() == where
