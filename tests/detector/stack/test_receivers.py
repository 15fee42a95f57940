"""Receivers and routes of all channels, judged by the real amtool."""

from __future__ import annotations

import itertools
import json
import pathlib
import shutil
import socketserver
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import yaml

from detector import config, errors
from detector.stack import debian, render
from detector.stack.receivers import base, events, versions
from tests import conftest, stack
from tests.detector.stack import receiving
from tests.rules import routing

VERSIONS = {debian.Suite.HOST: base.Version(0, 25), debian.Suite.NEXT: base.Version(0, 33, 1)}


@pytest.fixture
def tools(stack_binaries: stack.Binaries) -> render.Tools:
    return render.Tools(amtool=stack_binaries.find("amtool"))


@pytest.fixture
def version(stack_binaries: stack.Binaries) -> base.Version:
    """Of the suite's Alertmanager."""
    return VERSIONS[stack_binaries.suite]


def combinations() -> Iterator[tuple[str, ...]]:
    """None, each alone, each pair, and all of them."""
    yield ()
    for size in (1, 2, len(receiving.NATIVE)):
        yield from itertools.combinations(receiving.NATIVE, size)


@pytest.mark.parametrize("names", list(combinations()), ids=lambda names: "+".join(names) or "none")
def test_amtool_takes_every_combination_of_channels(
    names: tuple[str, ...], tmp_path: pathlib.Path, tools: render.Tools, version: base.Version
) -> None:
    environ = {key: value for name in names for key, value in receiving.NATIVE[name].items()}
    tree, notes = receiving.rendered(tmp_path, tools, environ, version)
    had = {each["name"] for each in tree["receivers"]}
    expected = {name for name in names if receiving.SINCE.get(name, base.OLDEST) <= version}
    assert had == {"memory", "heartbeat", *expected}
    told = [note for note in notes if "needs Alertmanager" in note]
    assert len(told) == len(names) - len(expected)


def test_events_are_delivered_to_us_where_alertmanager_has_a_recorder(
    tmp_path: pathlib.Path, tools: render.Tools, version: base.Version
) -> None:
    """amtool of the suite takes the file, with and without."""
    found = render.render(config.load(None, {}), receiving.HERE, tmp_path, tools, version=version)
    tree = yaml.safe_load(found.alertmanager.read_text())
    if version < base.Version(0, 33):
        assert "event_recorder" not in tree
        assert found.features == ()
        return
    memory = tree["receivers"][0]["webhook_configs"][0]
    output = {
        "url": f"http://{receiving.HERE.detector}/api/webhooks/events",
        "http_config": memory["http_config"],
    }
    assert tree["event_recorder"] == {"webhook_outputs": [output]}
    assert found.features == ("event-recorder",)


@pytest.mark.parametrize(("version", "count"), [("0.28.1", 0), ("0.33.1", 1)])
def test_render_tells_what_alertmanager_is_to_be_started_with(
    version: str, count: int, tmp_path: pathlib.Path
) -> None:
    settings = config.load(None, {"MDA_ALERTMANAGER__VERSION": version})
    lines = render.run(settings, tmp_path)
    assert sum("--enable-feature=event-recorder" in each for each in lines) == count


def test_a_recorder_of_ones_own_is_kept(tmp_path: pathlib.Path) -> None:
    own = {"url": "http://own.example/"}
    tree: base.Tree = {"event_recorder": {"webhook_outputs": [own]}}
    place = base.Place(base.Secrets(tmp_path, 0o600), "d:1", "/token", base.Version(0, 34))
    assert events.add(tree, config.load(None, {}), place) == []
    outputs = tree["event_recorder"]["webhook_outputs"]
    assert (outputs[0], outputs[1]["url"]) == (own, "http://d:1/api/webhooks/events")


@pytest.mark.parametrize(
    ("version", "has_recorder", "note"),
    [
        (base.Version(0, 32, 9), False, None),
        (base.Version(0, 33), True, None),
        (base.Version(0, 34, 5), True, None),
        (base.Version(0, 35), False, "event recorder left out"),
    ],
)
def test_the_recorder_is_written_for_releases_that_are_known(
    version: base.Version, has_recorder: bool, note: str | None, tmp_path: pathlib.Path
) -> None:
    tree, notes = receiving.rendered(tmp_path, render.NO_TOOLS, {}, version)
    assert ("event_recorder" in tree) == has_recorder
    told = [each for each in notes if "recorder" in each]
    assert [each.split(":")[0] for each in told] == ([note] if note else [])


def test_the_recorder_can_be_done_without(tmp_path: pathlib.Path) -> None:
    environ = {"MDA_ALERTMANAGER__EVENTS": "false"}
    tree, notes = receiving.rendered(tmp_path, render.NO_TOOLS, environ, base.Version(0, 33))
    assert "event_recorder" not in tree
    assert not any("recorder" in each for each in notes)


def test_a_configuration_of_the_users_own_gets_no_recorder(tmp_path: pathlib.Path) -> None:
    own, plain = tmp_path / "own.yml", "route: {receiver: a}\nreceivers: [{name: a}]\n"
    recorded = f"{plain}event_recorder: {{file_outputs: [{{path: /var/log/events}}]}}\n"
    for text, features in ((plain, ()), (recorded, ("event-recorder",))):
        own.write_text(text)
        settings = config.load(None, {"MDA_ALERTMANAGER__CONFIG": str(own)})
        found = render.render(
            settings, receiving.HERE, tmp_path / "out", version=base.Version(0, 33, 1)
        )
        assert (found.alertmanager, found.features) == (own, features)
        assert own.read_text() == text


def test_what_an_alertmanager_is_too_old_for_is_left_out_with_the_version_that_it_takes(
    tmp_path: pathlib.Path,
) -> None:
    environ = receiving.NATIVE["discord"] | receiving.NATIVE["telegram"]
    tree, notes = receiving.rendered(tmp_path, render.NO_TOOLS, environ, base.Version(0, 27))
    assert [each["name"] for each in tree["receivers"]] == [
        "memory",
        "heartbeat",
        "telegram",
    ]
    (note,) = [note for note in notes if "Alertmanager" in note]
    assert note == (
        "receiver 'discord' left out: it needs Alertmanager 0.28.0, which reads its secret from a "
        "file, and this is 0.27.0: use a newer one, or notify (docs/operations.md)"
    )


def test_no_secret_of_any_channel_stands_outside_of_its_file(
    tmp_path: pathlib.Path, tools: render.Tools, version: base.Version
) -> None:
    environ = {key: each for given in receiving.NATIVE.values() for key, each in given.items()}
    tree, notes = receiving.rendered(tmp_path, tools, environ, version)
    secrets = {file for file in tmp_path.rglob("*") if file.is_file() and "s3cret" in _text(file)}
    assert {file.parent for file in secrets} == {tmp_path / "secrets"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets} == {0o600}
    left_out = sum(since > version for since in receiving.SINCE.values())
    assert len(secrets) >= 9 - 2 * left_out
    assert "s3cret" not in json.dumps([tree, notes])


def _text(file: pathlib.Path) -> str:
    return file.read_text()


def test_the_secrets_of_channels_that_are_given_up_are_removed(tmp_path: pathlib.Path) -> None:
    environ = {key: each for given in receiving.NATIVE.values() for key, each in given.items()}
    newest = base.Version(0, 33)
    receiving.rendered(tmp_path, render.NO_TOOLS, environ, newest)
    (tmp_path / "secrets" / "others").write_text("x")
    kept = receiving.NATIVE["msteams"] | receiving.NATIVE["slack"]
    receiving.rendered(tmp_path, render.NO_TOOLS, kept, newest)
    assert {file.name for file in (tmp_path / "secrets").iterdir()} == {
        "msteams_webhook_url",
        "slack_webhook_url",
        "others",
        "webhook_token",
    }


@pytest.mark.parametrize(
    ("channel", "setting", "file"),
    [
        ("webhook", "WEBHOOK_BEARER_TOKEN", "webhook_bearer"),
        ("email", "EMAIL_PASSWORD", "email_password"),
    ],
)
def test_a_secret_that_a_channel_can_do_without_is_removed_once_it_is_not_set(
    tmp_path: pathlib.Path, channel: str, setting: str, file: str
) -> None:
    environ, newest = receiving.NATIVE[channel], base.Version(0, 33)
    receiving.rendered(tmp_path, render.NO_TOOLS, environ, newest)
    assert (tmp_path / "secrets" / file).read_text() == environ[setting]
    receiving.rendered(tmp_path, render.NO_TOOLS, environ | {setting: ""}, newest)
    assert not (tmp_path / "secrets" / file).exists()


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://prod-1.westeurope.logic.azure.com:443/workflows/x", "msteamsv2_configs"),
        ("https://x.api.powerplatform.com/workflows/x", "msteamsv2_configs"),
        ("https://flows-of-no-office.com/x", "msteamsv2_configs"),
        ("https://contoso.webhook.office.com/webhookb2/x", "msteams_configs"),
    ],
)
def test_teams_is_told_as_its_address_asks_for(tmp_path: pathlib.Path, url: str, kind: str) -> None:
    environ = {"MSTEAMS_WEBHOOK_URL": url}
    tree, _ = receiving.rendered(tmp_path, render.NO_TOOLS, environ, base.Version(0, 28))
    (receiver,) = [each for each in tree["receivers"] if each["name"] == "msteams"]
    assert set(receiver) == {"name", kind}
    assert pathlib.Path(receiver[kind][0]["webhook_url_file"]).read_text() == url


TEAMS = r"""
teams:
  payments:
    email: payments@example.org
    slack_channel: "#payments"
    sms: ["+447700900123"]
    severities: [critical, high, low]
    policies: ['Card (x) "y"', Checkout, '50 %+ | a\b']
  search: {email: search@example.org}
"""


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ("severity=high", "memory,email,slack,sms"),
        ("severity=high team=payments", "memory,email-payments,slack-payments,sms-payments"),
        ("severity=low team=payments", "memory,email-payments,slack-payments,sms-payments"),
        ("severity=medium team=payments", "memory"),
        ("severity=high team=search", "memory,email-search,slack,sms"),
        ("severity=medium team=search", "memory,email-search,slack"),
        ("severity=high team=unknown", "memory,email,slack,sms"),
        ("severity=high policy=Checkout", "memory,email-payments,slack-payments,sms-payments"),
        ("severity=high policy=Checkout2", "memory,email,slack,sms"),
        (
            "severity=high policy=Checkout team=search",
            "memory,email-search,slack-payments,sms-payments",
        ),
        ("severity=medium policy=Checkout", "memory"),
    ],
)
def test_a_team_is_told_in_place_of_all_others_channel_by_channel(
    tmp_path: pathlib.Path,
    tools: render.Tools,
    stack_binaries: stack.Binaries,
    labels: str,
    receivers: str,
) -> None:
    environ = receiving.EMAIL | receiving.SLACK | receiving.SMS
    receiving.rendered(tmp_path, tools, environ, text=TEAMS)
    file = tmp_path / "alertmanager.yml"
    assert routing.receivers(stack_binaries, file, *labels.split()) == receivers.split(",")


@pytest.mark.parametrize("name", ['Card (x) "y"', "50 %+ | a\\b"])
def test_a_policy_of_a_team_may_have_any_name(
    tmp_path: pathlib.Path, tools: render.Tools, stack_binaries: stack.Binaries, name: str
) -> None:
    receiving.rendered(tmp_path, tools, receiving.EMAIL, text=TEAMS)
    labels = ["severity=high", f"policy={json.dumps(name)}"]
    file = tmp_path / "alertmanager.yml"
    assert routing.receivers(stack_binaries, file, *labels) == [
        "memory",
        "email-payments",
        "sms-payments",
    ]


def test_receivers_of_a_team_tell_its_people(tmp_path: pathlib.Path) -> None:
    environ = receiving.EMAIL | receiving.SLACK | receiving.SMS
    tree, _ = receiving.rendered(tmp_path, render.NO_TOOLS, environ, text=TEAMS)
    found = {each["name"]: each for each in tree["receivers"]}
    mail = found["email-payments"]["email_configs"][0]
    assert mail["to"] == "payments@example.org"
    assert mail["html"] == found["email"]["email_configs"][0]["html"]
    assert found["slack-payments"]["slack_configs"][0]["channel"] == "#payments"
    assert found["slack"]["slack_configs"][0]["channel"] == "#ops"
    webhook = found["sms-payments"]["webhook_configs"][0]
    assert webhook["url"] == f"http://{receiving.HERE.detector}/api/webhooks/sms/payments"


def test_a_team_may_be_told_where_nobody_else_is(
    tmp_path: pathlib.Path, tools: render.Tools
) -> None:
    environ = receiving.EMAIL | {"EMAIL_TO": ""}
    tree, notes = receiving.rendered(tmp_path, tools, environ, text=TEAMS)
    names = {each["name"] for each in tree["receivers"]}
    assert names == {"memory", "heartbeat", "email-payments", "email-search", "sms-payments"}
    assert tree["global"]["smtp_smarthost"] == "smtp.example.org:587"
    assert "receiver 'email' left out: EMAIL_TO not set" in notes
    assert "teams.payments.slack_channel: nobody is told: SLACK_WEBHOOK_URL not set" in notes


HOURS = """\
email: {severities: [critical, high, warning, medium, low]}
business_hours: {timezone: Europe/Berlin, start: "08:30", end: "24:00", severities: [medium, low]}
"""


def test_severities_of_business_hours_are_told_in_them_only(
    tmp_path: pathlib.Path, tools: render.Tools
) -> None:
    tree, _ = receiving.rendered(tmp_path, tools, receiving.EMAIL | receiving.SMS, text=HOURS)
    assert tree["time_intervals"] == [
        {
            "name": "business-hours",
            "time_intervals": [
                {
                    "weekdays": ["monday", "tuesday", "wednesday", "thursday", "friday"],
                    "times": [{"start_time": "08:30", "end_time": "24:00"}],
                    "location": "Europe/Berlin",
                }
            ],
        }
    ]
    told = [
        (each["receiver"], each["matchers"][0], each.get("active_time_intervals"))
        for each in tree["route"]["routes"]
        if each["receiver"] != "heartbeat"
        and "matchers" in each
        and "mda_test" not in each["matchers"][0]
    ]
    assert told == [
        ("email", 'severity =~ "critical|high|warning"', None),
        ("email", 'severity =~ "medium|low"', ["business-hours"]),
        ("sms", 'severity =~ "critical|high|warning"', None),
    ]


@pytest.mark.parametrize("name", ["email", "slack-payments", "sms"])
def test_a_test_message_reaches_its_receiver_and_the_memory_alone(
    tmp_path: pathlib.Path, tools: render.Tools, stack_binaries: stack.Binaries, name: str
) -> None:
    environ = receiving.EMAIL | receiving.SLACK | receiving.SMS
    receiving.rendered(tmp_path, tools, environ, text=TEAMS)
    labels = [f"mda_test={name}", "severity=critical", "team=payments"]
    file = tmp_path / "alertmanager.yml"
    assert routing.receivers(stack_binaries, file, *labels) == ["memory", name]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("telegram: {bot_token: x}", "chat_id: not set"),
        ("teams: {a: {}}", "one at least of email"),
        ("teams: {'a b': {email: x}}", "teams.a b.[key]"),
        ("business_hours: {start: '17:00', end: '09:00'}", "end: 09:00: a time after start"),
        ("business_hours: {start: '09:00', end: '09:00'}", "end: 09:00: a time after start"),
        ("notify: {ops: {severities: [high]}}", "either url or url_file"),
        ("alertmanager: {version: latest}", "alertmanager.version: 'latest'"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    tmp_path: pathlib.Path, text: str, complaint: str
) -> None:
    file = tmp_path / "mda.yml"
    file.write_text(text)
    with pytest.raises(errors.ConfigError) as caught:
        config.load(file, {})
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("PAGERDUTY_ROUTING_KEY", "from-a-file"),
        ("WEBHOOK_URL", "https://from-a-file"),
        ("TELEGRAM_BOT_TOKEN", "from-a-file"),
    ],
)
def test_secrets_of_channels_may_stand_in_files(
    tmp_path: pathlib.Path, name: str, secret: str
) -> None:
    (tmp_path / "secret").write_text(f"{secret}\n")
    environ = {f"{name}_FILE": str(tmp_path / "secret")}
    if name == "TELEGRAM_BOT_TOKEN":
        environ["TELEGRAM_CHAT_ID"] = "1"
    section, key = config.BARE_NAMES[name]
    found = getattr(getattr(config.load(None, environ), section), key)
    assert found.get_secret_value() == secret


class _Status(BaseHTTPRequestHandler):
    body: bytes = b""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/v2/status" else 404)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def answering() -> Iterator[Any]:
    """answering(body): the address of a server that says this of itself."""
    servers: list[socketserver.TCPServer] = []

    def make(body: bytes) -> str:
        server = socketserver.TCPServer(
            ("127.0.0.1", 0), type("Status", (_Status,), {"body": body})
        )
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        return f"127.0.0.1:{server.server_address[1]}"

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_version_is_that_of_the_running_one_then_the_programs_then_the_settings(
    answering: Any, stack_binaries: stack.Binaries, version: base.Version, tmp_path: pathlib.Path
) -> None:
    program = stack_binaries.find("alertmanager")
    settings = config.load(None, {"MDA_ALERTMANAGER__VERSION": "v0.28"})
    running = answering(b'{"versionInfo": {"version": "0.31.0"}}')
    silent = f"127.0.0.1:{stack.free_port()}"
    assert versions.of(settings, address=running, program=program) == (0, 31, 0)
    assert versions.of(settings, address=silent, program=program) == version
    assert versions.of(settings, address=answering(b"[]"), program=None) == (0, 28, 0)
    none = config.load(None, {})
    assert versions.of(none, address=None, program=tmp_path / "none") == base.OLDEST


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("receivers: []", "route: None: keys"),
        ("{route: {}, receivers: {name: a}}", "receivers: {'name': 'a'}: a list"),
        ("{route: {}, receivers: [a]}", "receivers.0: 'a': keys"),
        ("{route: {}, receivers: [{nam: a}]}", "receivers.0.name: None: a text"),
        (
            "{route: {}, receivers: [{name: a, webhook_configs: {url: b}}]}",
            "receivers.0.webhook_configs: {'url': 'b'}: a list",
        ),
        (
            "{route: {}, receivers: [{name: a, webhook_configs: [b]}]}",
            "receivers.0.webhook_configs.0: 'b': keys",
        ),
        ("{route: {routes: {}}, receivers: [], global: [a]}", "global: ['a']: keys"),
        ("{route: {routes: [{routes: [a]}]}, receivers: []}", "route.routes.0.routes.0: 'a': keys"),
        (
            "{route: {routes: [{matchers: a = b}]}, receivers: []}",
            "route.routes.0.matchers: 'a = b': a list",
        ),
        ("{route: {matchers: [{a: b}]}, receivers: []}", "route.matchers.0: {'a': 'b'}: a text"),
        ("{route: {}, receivers: [], templates: '*'}", "templates: '*': a list"),
        ("{route: {}, receivers: [], time_intervals: [a]}", "time_intervals.0: 'a': keys"),
    ],
)
@pytest.mark.parametrize("is_own", [True, False])
def test_a_file_of_another_shape_is_one_line_without_amtool_too(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    complaint: str,
    *,
    is_own: bool,
) -> None:
    shutil.copytree(conftest.ROOT / "rules", tmp_path / "rules")
    shutil.copy(conftest.ROOT / "prometheus.yml", tmp_path)
    (tmp_path / "alertmanager.yml").write_text(text)
    monkeypatch.chdir(tmp_path)
    environ = {"MDA_ALERTMANAGER__CONFIG": "alertmanager.yml"} if is_own else {}
    with pytest.raises(errors.ConfigError) as caught:
        receiving.rendered(tmp_path / "out", render.NO_TOOLS, environ)
    kind = complaint.rpartition(": ")[2]
    expected = {"keys": "keys with values are", "a list": "a list is", "a text": "a text is"}
    said = f"{complaint.removesuffix(kind)}{expected[kind]} expected"
    assert str(caught.value) == f"{tmp_path / 'alertmanager.yml'}: {said}"


def test_a_key_without_a_value_is_as_if_it_were_not_there(
    tmp_path: pathlib.Path, tools: render.Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(conftest.ROOT / "rules", tmp_path / "rules")
    shutil.copy(conftest.ROOT / "prometheus.yml", tmp_path)
    (tmp_path / "alertmanager.yml").write_text(
        "global:\ntemplates:\nroute: {receiver: a, routes: }\n"
        "receivers: [{name: a, webhook_configs: , email_configs: }]\n"
    )
    monkeypatch.chdir(tmp_path)
    tree, _ = receiving.rendered(tmp_path / "out", tools, receiving.EMAIL)
    assert [each["name"] for each in tree["receivers"]] == ["a", "email"]
    assert tree["global"]["smtp_from"] == "monitor@example.org"


OWN = """\
# Written by hand.
route: {receiver: people}
receivers:
  - name: people
    email_configs: [{to: a@example.org, from: b@example.org, smarthost: "localhost:25"}]
"""


def test_a_configuration_of_ones_own_is_used_as_it_is_and_said_what_it_lacks(
    tmp_path: pathlib.Path, tools: render.Tools
) -> None:
    own = tmp_path / "own.yml"
    own.write_text(OWN)
    environ = receiving.SMS | {
        "MDA_ALERTMANAGER__CONFIG": str(own),
        "MDA_NOTIFY__CHAT__URL": "json://s3cret",
    }
    out = tmp_path / "out"
    found = render.render(config.load(None, environ), receiving.HERE, out, tools)
    assert found.alertmanager == own
    assert own.read_text() == OWN
    assert not (out / "alertmanager.yml").exists()
    assert [note.split(" by this")[0] for note in found.notes[:3]] == [
        "the detector's memory hears of no alert",
        "SMS hears of no alert",
        "notify.chat hears of no alert",
    ]
    assert found.notes[3].startswith("mda alerts test needs a route")
    assert "s3cret" not in "".join(found.notes)


def test_with_the_lines_that_it_lacks_a_configuration_of_ones_own_lacks_nothing(
    tmp_path: pathlib.Path, tools: render.Tools, stack_binaries: stack.Binaries
) -> None:
    own = tmp_path / "own.yml"
    own.write_text(OWN)
    environ = receiving.SMS | {"MDA_ALERTMANAGER__CONFIG": str(own)}
    settings = config.load(None, environ)
    found = render.render(settings, receiving.HERE, tmp_path, tools)
    tree = yaml.safe_load(OWN)
    tree["route"]["routes"] = []
    for note in found.notes[:-1]:
        added = yaml.safe_load(note.split("add\n")[1])
        tree["route"]["routes"] += added["route"]["routes"]
        tree["receivers"] += added["receivers"]
    test = {"receiver": "people", "matchers": ['mda_test = "people"'], "group_wait": "0s"}
    tree["route"]["routes"].insert(1, test)
    own.write_text(yaml.safe_dump(tree))
    assert render.render(settings, receiving.HERE, tmp_path, tools).notes == ()
    told = routing.receivers(stack_binaries, own, "severity=critical")
    assert told == ["mda-memory", "mda-sms"]
    assert routing.receivers(stack_binaries, own, "mda_test=people") == ["mda-memory", "people"]


def test_a_configuration_of_ones_own_is_copied_for_containers(tmp_path: pathlib.Path) -> None:
    own = tmp_path / "own.yml"
    own.write_text(OWN)
    lines = render.run(
        config.load(None, {"MDA_ALERTMANAGER__CONFIG": str(own)}), tmp_path / "volume"
    )
    assert (tmp_path / "volume" / "alertmanager.yml").read_text() == OWN
    assert lines[-1] == f"wrote {tmp_path}/volume/alertmanager.yml"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (OWN.replace("people}", "nobody}"), 'amtool refuses .*own.yml: .*"nobody"'),
        ("{route: {receiver: a}, receivers: [a]}", "amtool refuses .*own.yml: .*`a` into"),
        ("just text", "own.yml: keys with values are expected"),
        (None, "own.yml: .*No such file"),
    ],
)
def test_a_wrong_configuration_of_ones_own_is_refused_in_the_words_of_amtool(
    tmp_path: pathlib.Path, tools: render.Tools, text: str | None, complaint: str
) -> None:
    own = tmp_path / "own.yml"
    if text is not None:
        own.write_text(text)
    with pytest.raises(errors.StackError, match=complaint):
        render.render(
            config.load(None, {"MDA_ALERTMANAGER__CONFIG": str(own)}),
            receiving.HERE,
            tmp_path / "out",
            tools,
        )
