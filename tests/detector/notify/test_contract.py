"""What every provider holds: what is sure is told as such, the rest is unclear, nothing doubles."""

from __future__ import annotations

import email.utils
import logging
import socket
import threading
import time
import urllib.parse
from datetime import timedelta

import pytest

from detector import config, errors, messages, ports
from detector.notify import catalogue
from tests import faults
from tests.detector.notify import kinds
from tests.fakes import sms

AGAIN = messages.Refused("", again=True)
NEVER = messages.Refused("")
UNCLEAR = messages.Unclear("")
DEEP = b"[" * 100_000


@pytest.fixture(params=sorted(kinds.KINDS))
def kind(request: pytest.FixtureRequest) -> kinds.Kind:
    return kinds.KINDS[request.param]


@pytest.fixture(params=sorted(name for name, kind in kinds.KINDS.items() if kind.tells))
def telling(request: pytest.FixtureRequest) -> kinds.Kind:
    """One of those that tell a refusal from what they do not know."""
    return kinds.KINDS[request.param]


def bare(outcome: messages.Outcome) -> messages.Outcome:
    """The outcome but for its words, which are short and on one line."""
    assert len(outcome.reason) <= 300
    assert outcome.reason.isprintable()
    if isinstance(outcome, messages.Accepted):
        return messages.Accepted(outcome.provider_id, outcome.price)
    assert outcome.reason
    if isinstance(outcome, messages.Refused):
        return messages.Refused("", again=outcome.again, wait=outcome.wait)
    return UNCLEAR


def expected(kind: kinds.Kind, outcome: messages.Outcome) -> messages.Outcome:
    return outcome if kind.tells else UNCLEAR


def test_the_suite_has_every_provider() -> None:
    assert kinds.KINDS.keys() == catalogue.PROVIDERS.keys()


def test_a_taken_message_is_accepted_after_one_request(kind: kinds.Kind) -> None:
    with kinds.answering(kind.good) as server:
        provider = kind.made(server.url)
        assert isinstance(bare(provider.send(kinds.outgoing())), messages.Accepted)
        assert len(server.received) == 1
        assert provider.name == kind.name


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        kinds.TEXT,
        "a&b=c+d %41 #?/",
        "\r\n.\r\n",
        "{{7*7}} ${jndi:ldap://x} {recipient} %(x)s",
        "\U0001f469\u200d\U0001f4bb e\u0301 \u202eabc",
        "<script>alert(1)</script> &amp; ]]>",
    ],
)
def test_the_text_arrives_as_it_is(kind: kinds.Kind, text: str) -> None:
    with kinds.answering(kind.good) as server:
        kind.made(server.url).send(kinds.outgoing(text=text))
        (received,) = server.received
    body = received.body.decode()
    if kind.name == "apprise":
        said = sms.said_in_json(received)["message"]
        assert said.strip() == text.strip()
        return
    form = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
    assert form[{"vonage": "text", "twilio": "Body", "sns": "Message"}[kind.name]] == text


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (faults.Planned(400, {}, b"bad"), NEVER),
        (faults.Planned(401), NEVER),
        (faults.Planned(402), NEVER),
        (faults.Planned(403, {}, b"<html>no</html>"), NEVER),
        (faults.Planned(404), NEVER),
        (faults.Planned(422), NEVER),
        (faults.Planned(429), AGAIN),
        (faults.Planned(500, {}, b"<html>oops</html>"), AGAIN),
        (faults.Planned(503), AGAIN),
        (faults.Planned(501), UNCLEAR),
        (faults.Planned(502), UNCLEAR),
        (faults.Planned(504, {}, b"<html>gateway</html>"), UNCLEAR),
        (faults.Planned(520), UNCLEAR),
    ],
    ids=lambda value: f"{value.status} {value.body[:20]!r}" if hasattr(value, "status") else "",
)
def test_an_answer_means_what_it_surely_tells(
    kind: kinds.Kind, answer: faults.Planned, outcome: messages.Outcome
) -> None:
    with kinds.answering(answer) as server:
        assert bare(kind.made(server.url).send(kinds.outgoing())) == expected(kind, outcome)
        assert len(server.received) == 1


@pytest.mark.parametrize(
    "answer",
    [
        faults.Planned(200),
        faults.Planned(200, {}, b"OK"),
        faults.Planned(200, {}, b"\xff\xfe\x00"),
        faults.Planned(200, {"Content-Type": "application/json"}, DEEP),
        faults.Planned(200, {}, b"[]"),
        faults.Planned(200, {}, b"null"),
        faults.Planned(200, {}, b"{}"),
        faults.Planned(200, {}, b'{"messages": {}, "sid": null}'),
        faults.Planned(200, {}, b'{"messages": [], "sid": ""}'),
        faults.Planned(200, {}, b'{"messages": [7], "sid": 7}'),
        faults.Planned(200, {}, b'{"messages": [{"status": null}], "sid": []}'),
        faults.Planned(200, {}, b"<Other><MessageId></MessageId></Other>"),
        faults.Planned(204),
    ],
    ids=lambda value: f"{value.status} {value.body[:20]!r}",
)
def test_a_success_that_cannot_be_read_is_unclear(
    telling: kinds.Kind, answer: faults.Planned
) -> None:
    with kinds.answering(answer) as server:
        assert bare(telling.made(server.url).send(kinds.outgoing())) == UNCLEAR
        assert len(server.received) == 1


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("86400", 600),
        ("9" * 30, 600),
        ("-5", 0),
        ("soon", 0),
        ("", 0),
        (email.utils.format_datetime(kinds.NOW + timedelta(seconds=90), usegmt=True), 90),
        (email.utils.format_datetime(kinds.NOW - timedelta(seconds=90), usegmt=True), 0),
        (email.utils.format_datetime(kinds.NOW + timedelta(days=9), usegmt=True), 600),
        ("Fri, 99 Abc 9999 99:99:99 GMT", 0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_it_waits_as_long_as_it_is_asked_to(
    kind: kinds.Kind, status: int, asked: str, seconds: int
) -> None:
    with kinds.answering(faults.Planned(status, {"Retry-After": asked})) as server:
        outcome = bare(kind.made(server.url).send(kinds.outgoing()))
    again = messages.Refused("", again=True, wait=timedelta(seconds=seconds))
    assert outcome == expected(kind, again)


@pytest.mark.parametrize(
    ("status", "outcome"), [(301, NEVER), (307, NEVER), (308, NEVER), (302, UNCLEAR)]
)
def test_a_redirect_is_not_followed(
    kind: kinds.Kind, status: int, outcome: messages.Outcome
) -> None:
    with (
        kinds.answering(kind.good) as elsewhere,
        kinds.answering(faults.Planned(status, {"Location": elsewhere.url})) as server,
    ):
        assert bare(kind.made(server.url).send(kinds.outgoing())) == expected(kind, outcome)
        assert (len(server.received), elsewhere.received) == (1, [])


def test_who_refuses_the_connection_got_nothing(kind: kinds.Kind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = kind.made(f"http://127.0.0.1:{port}").send(kinds.outgoing())
    assert bare(outcome) == expected(kind, AGAIN)


def test_who_accepts_no_connection_in_time_got_nothing(kind: kinds.Kind) -> None:
    with faults.full_server() as port:
        outcome = kind.made(f"http://127.0.0.1:{port}").send(kinds.outgoing())
    assert bare(outcome) == expected(kind, AGAIN)


def test_where_tls_fails_nothing_was_sent(kind: kinds.Kind) -> None:
    with kinds.answering(kind.good) as server:
        provider = kind.made(server.url.replace("http://", "https://"))
        assert bare(provider.send(kinds.outgoing())) == expected(kind, AGAIN)
        assert server.received == []


def test_a_server_that_never_answers_leaves_it_unclear(kind: kinds.Kind) -> None:
    over = threading.Event()
    took: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        took.append(faults.read_request(connection))
        over.wait(20)

    with faults.raw_server(serve) as url:
        outcome = kind.made(url).send(kinds.outgoing())
        over.set()
    assert bare(outcome) == UNCLEAR
    assert len(took) == 1


def test_a_server_that_breaks_off_leaves_it_unclear(kind: kinds.Kind) -> None:
    with kinds.answering(faults.Planned(200, drops=True)) as server:
        assert bare(kind.made(server.url).send(kinds.outgoing())) == UNCLEAR
        assert len(server.received) == 1


def test_an_answer_that_breaks_off_leaves_it_unclear(kind: kinds.Kind) -> None:
    answer = faults.Planned(kind.good.status, kind.good.headers, kind.good.body * 2, resets=True)
    if not kind.good.body:
        answer = faults.Planned(200, {}, b"half of it", resets=True)
    with kinds.answering(answer) as server:
        outcome = kind.made(server.url).send(kinds.outgoing())
        assert len(server.received) == 1
    assert bare(outcome) == UNCLEAR


@pytest.mark.parametrize(
    "words", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 OK\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nA"]
)
def test_who_does_not_speak_http_leaves_it_unclear(telling: kinds.Kind, words: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        faults.read_request(connection)
        connection.sendall(words)

    with faults.raw_server(serve) as url:
        assert bare(telling.made(url).send(kinds.outgoing())) == UNCLEAR


def echoing(status: int) -> faults.Receiver:
    """A server that gives back all that it was told, and says it in its own words too."""

    def answer(received: faults.Received) -> faults.Planned:
        lines = [f"{name}: {value}" for name, value in received.headers.items()]
        head = "\n".join(sorted(lines))  # who we say we are comes early, before all is cut
        echo = f"{head}\n{received.path}\n{received.body.decode()}\n{kinds.SECRET}"
        plain = f"{echo}\n{urllib.parse.unquote_plus(echo)}"
        tree = {
            "message": plain,
            "title": plain,
            "detail": plain,
            "messages": [{"status": "9", "error-text": plain}],
            "error_message": plain,
            "status": "failed",
            "sid": "SM1",
        }
        return sms.as_json(status, tree)

    return faults.Receiver(answer)


@pytest.mark.parametrize("status", [200, 400, 429, 500, 502])
def test_secrets_are_in_no_reason_repr_or_log(
    kind: kinds.Kind, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with echoing(status) as server:
        provider = kind.made(server.url)
        outcome = provider.send(kinds.outgoing())
        found = provider.find(kinds.outgoing())
    settings = kind.settings(server.url)
    written = [str(vars(record)) + record.getMessage() for record in caplog.records]
    text = "\n".join([repr(outcome), repr(found), repr(provider), repr(settings), *written])
    assert [canary for canary in kinds.CANARIES if canary in text] == []


def test_secrets_are_in_no_word_of_a_lost_connection(
    kind: kinds.Kind, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider = kind.made("http://127.0.0.1:1")
    said = repr((provider.send(kinds.outgoing()), provider.find(kinds.outgoing())))
    written = [str(vars(record)) + record.getMessage() for record in caplog.records]
    assert [word for word in kinds.CANARIES if word in "\n".join([said, *written])] == []


def test_asking_sends_nothing(kind: kinds.Kind) -> None:
    with kinds.answering(kind.good) as server:
        kind.made(server.url).find(kinds.outgoing())
        assert [each for each in server.received if each.method != "GET"] == []


@pytest.mark.parametrize(
    "answer",
    [
        faults.Planned(200),
        faults.Planned(200, {}, b"[]"),
        faults.Planned(200, {}, DEEP),
        faults.Planned(200, {}, b'{"records": null, "messages": null}'),
        faults.Planned(200, {}, b'{"records": [1], "messages": [null]}'),
        faults.Planned(200, {}, b'{"records": []', resets=True),
        faults.Planned(200, drops=True),
        faults.Planned(302, {"Location": "/"}),
        faults.Planned(401),
        faults.Planned(404),
        faults.Planned(429),
        faults.Planned(500),
        faults.Planned(502),
    ],
    ids=lambda value: f"{value.status} {value.body[:20]!r}",
)
def test_a_failed_question_is_no_answer(kind: kinds.Kind, answer: faults.Planned) -> None:
    with kinds.answering(answer) as server:
        found = kind.made(server.url).find(kinds.outgoing())
    is_asked = kind.name not in ("sns", "apprise")
    assert found is (messages.Lookup.CANNOT_TELL if is_asked else messages.Lookup.NEVER_TELLS)


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"status": ""},
        {"status": "delivered"},
        {"MessageStatus": "delivered"},
        {"status": "?", "messageId": "1", "MessageStatus": "?", "MessageSid": "1"},
        {"messageId": "1", "MessageSid": "1"},
        {"status": "delivered", "messageId": "x" * 5_000, "client-ref": "a\nb\0"},
        {"MessageStatus": "delivered", "MessageSid": "\0"},
    ],
)
def test_a_callback_that_says_nothing_is_no_receipt(kind: kinds.Kind, form: dict[str, str]) -> None:
    assert kind.made("http://127.0.0.1:1").receipt(form) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "http://10.0.0.1:8080",
        "http://127.0.0.1.example.org",
        "http://localhost.example.org",
        "ftp://127.0.0.1",
        "example.org",
        "https://",
        "https://[::1",
        "https://host:0/",
        "https://host:99999/",
        "https://user:canary@127.0.0.1",
        "https://host/a b",
        "https://host/?a=b",
        "https://ho\nst/",
    ],
)
def test_secrets_go_by_https_or_not_at_all(telling: kinds.Kind, url: str) -> None:
    with pytest.raises(errors.ConfigError, match=r"\A.* url: .*\Z") as raised:
        telling.made(url)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://localhost:9/", "http://[::1]:9/a/"])
def test_this_machine_needs_no_tls(kind: kinds.Kind, url: str) -> None:
    assert isinstance(kind.made(url).send(kinds.outgoing()), messages.Refused | messages.Unclear)


def test_where_there_is_no_such_name_nothing_was_sent(telling: kinds.Kind) -> None:
    provider = telling.made(f"https://{'a' * 64}.invalid")  # too long to ask any DNS for
    assert bare(provider.send(kinds.outgoing())) == AGAIN


def test_an_answer_that_drips_does_not_hold_us(telling: kinds.Kind) -> None:
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        faults.read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not over.wait(0.05):
            connection.sendall(b" ")

    with faults.raw_server(serve) as url:
        started = time.monotonic()
        assert bare(telling.made(url).send(kinds.outgoing())) == UNCLEAR
        assert time.monotonic() - started < 10
        over.set()


def test_what_is_missing_is_named() -> None:
    missing = {"vonage": "api_key", "twilio": "api_key", "sns": "region", "apprise": "api_secret"}
    for name, key in missing.items():
        with pytest.raises(errors.ConfigError, match=f"{name}: {key}: is empty"):
            catalogue.provider_of(config.SmsProvider(provider=name), lambda: kinds.NOW)


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(errors.ConfigError, match=r"'pigeon': .*vonage, twilio, sns, apprise"):
        catalogue.provider_of(config.SmsProvider(provider="pigeon"), lambda: kinds.NOW)


def test_they_are_what_the_port_asks_for(kind: kinds.Kind) -> None:
    provider: ports.SmsProvider = kind.made("http://127.0.0.1:1")
    assert provider.name in catalogue.PROVIDERS
