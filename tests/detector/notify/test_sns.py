"""SNS: what is sent, and that moto, which stands in for AWS, takes it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from detector import errors, messages
from detector.notify import sns
from tests import faults, stack
from tests.detector.notify import kinds
from tests.fakes import sms

FAULT = """<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type>
<Code>{code}</Code><Message>{text}</Message></Error><RequestId>1</RequestId></ErrorResponse>"""


def made(url: str, sender: str = "Alerts", **more: str) -> sns.Sns:
    given = {"key": "AKIACANARY", "secret": kinds.SECRET, "region": "eu-central-1", **more}
    return sns.Sns(
        sender=sender,
        clock=lambda: kinds.NOW,
        base_url=url,
        key=given["key"],
        secret=given["secret"],
        region=given["region"],
    )


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """moto's server, a child of ours."""
    port = stack.free_port()
    log = tmp_path_factory.mktemp("moto") / "log"
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=out,
            stderr=out,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        stack.wait_until(lambda: _answers(child, url, log), 60, "moto to answer")
        yield url
    finally:
        child.kill()
        child.wait()


def _answers(child: subprocess.Popen[bytes], url: str, log: Path) -> bool:
    assert child.poll() is None, log.read_text()
    try:
        with urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=5) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except OSError:
        return False


def taken_by(moto: str) -> list[dict[str, str]]:
    """What moto has sent to phones."""
    with urllib.request.urlopen(f"{moto}/moto-api/data.json", timeout=5) as answer:  # noqa: S310 - loopback
        taken: list[dict[str, str]] = json.load(answer).get("sns", {}).get("SMS", [])
    return taken


def test_moto_takes_a_message(moto: str) -> None:
    outcome = made(moto).send(kinds.outgoing())

    assert isinstance(outcome, messages.Accepted)
    assert taken_by(moto) == [
        {
            "message_id": outcome.provider_id,
            "phone_number": "+491701234567",
            "message": kinds.TEXT,
        }
    ]
    assert outcome == messages.Accepted(outcome.provider_id)


def test_moto_refuses_what_is_no_number(moto: str) -> None:
    before = taken_by(moto)
    outcome = made(moto).send(kinds.outgoing(recipient="nobody"))
    assert outcome == messages.Refused(
        "HTTP 400: InvalidParameter: Phone number does not meet the E164 format"
    )
    assert taken_by(moto) == before


@pytest.mark.parametrize(
    ("sender", "attribute"),
    [
        ("Alerts", "AWS.SNS.SMS.SenderID"),
        ("+491700000001", "AWS.MM.SMS.OriginationNumber"),
        ("", None),
    ],
)
def test_the_whole_form_arrives(sender: str, attribute: str | None) -> None:
    with kinds.answering(kinds.KINDS["sns"].good) as server:
        outcome = made(server.url, sender).send(kinds.outgoing())
        (received,) = server.received

    second = {
        "MessageAttributes.entry.2.Name": attribute,
        "MessageAttributes.entry.2.Value.DataType": "String",
        "MessageAttributes.entry.2.Value.StringValue": sender,
    }
    assert outcome == messages.Accepted("567910cd-659e-55d4-8ccb-5aaf14679dc0")
    assert (received.method, received.path) == ("POST", "/")
    assert sms.form_of(received) == {
        "Action": "Publish",
        "Version": "2010-03-31",
        "PhoneNumber": "+491701234567",
        "Message": kinds.TEXT,
        "MessageAttributes.entry.1.Name": "AWS.SNS.SMS.SMSType",
        "MessageAttributes.entry.1.Value.DataType": "String",
        "MessageAttributes.entry.1.Value.StringValue": "Transactional",
        **(second if attribute else {}),
    }


def test_it_is_signed_as_it_is_sent() -> None:
    """Signed again from what arrived, by botocore: the same to the last digit."""
    from botocore import auth, awsrequest, credentials

    with kinds.answering(kinds.KINDS["sns"].good) as server:
        made(server.url).send(kinds.outgoing())
        (received,) = server.received
    request = awsrequest.AWSRequest(
        "POST",
        f"http://{received.headers['host']}/",
        data=received.body,
        headers={
            "Content-Type": received.headers["content-type"],
            "X-Amz-Date": received.headers["x-amz-date"],
        },
    )
    request.context["timestamp"] = received.headers["x-amz-date"]
    again = auth.SigV4Auth(
        credentials.Credentials("AKIACANARY", kinds.SECRET), "sns", "eu-central-1"
    )
    signature = again.signature(
        again.string_to_sign(request, again.canonical_request(request)), request
    )

    assert received.headers["authorization"] == (
        f"AWS4-HMAC-SHA256 Credential=AKIACANARY/{again.scope(request).partition('/')[2]}, "
        f"SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
    )


@pytest.mark.parametrize(
    ("status", "code", "again"),
    [
        (400, "InvalidParameter", False),
        (403, "AuthorizationError", False),
        (403, "SignatureDoesNotMatch", False),
        (400, "Throttling", True),
        (400, "ThrottledException", True),
        (429, "Throttled", True),
        (500, "InternalError", True),
        (503, "ServiceUnavailable", True),
    ],
)
def test_an_error_is_understood(status: int, code: str, again: bool) -> None:
    body = FAULT.format(code=code, text=f"not so\n{kinds.SECRET}").encode()
    with kinds.answering(faults.Planned(status, {"Content-Type": "text/xml"}, body)) as server:
        outcome = made(server.url).send(kinds.outgoing())
    assert outcome == messages.Refused(f"HTTP {status}: {code}: not so ***", again=again)


def test_one_half_of_the_credentials_will_not_do() -> None:
    with pytest.raises(errors.ConfigError, match="sns: api_key, api_secret: both or none"):
        made("http://127.0.0.1:1", secret="")


def test_credentials_are_found_where_aws_tools_find_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with pytest.raises(errors.ConfigError, match="sns: api_key, api_secret: empty, and"):
        made("http://127.0.0.1:1", key="", secret="")

    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = x\n"
    )
    with kinds.answering(kinds.KINDS["sns"].good) as server:
        made(server.url, key="", secret="").send(kinds.outgoing())
        (received,) = server.received
    assert "Credential=AKIAFILE/" in received.headers["authorization"]


def test_credentials_that_run_out_and_cannot_be_had_again_send_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    first = {"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "x", "Expiration": soon}
    (tmp_path / "first").write_text(json.dumps(first))
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path}/first\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with kinds.answering(kinds.KINDS["sns"].good) as server:
        provider = made(server.url, key="", secret="")
        (tmp_path / "first").unlink()
        outcome = provider.send(kinds.outgoing())
        assert server.received == []
    assert isinstance(outcome, messages.Refused)
    assert outcome.again
    assert outcome.reason.startswith("no credentials: ")


def test_a_profile_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    with pytest.raises(errors.ConfigError, match=r"sns: api_key, api_secret: .*nobodys"):
        made("http://127.0.0.1:1", key="", secret="")


def test_without_boto3_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(errors.ConfigError, match=r"pip install 'monitor-drift-agent\[aws\]'"):
        made("http://127.0.0.1:1")


def test_it_neither_can_be_asked_nor_calls_back() -> None:
    provider = made("http://127.0.0.1:1")
    assert provider.find(kinds.outgoing()) is messages.Lookup.NEVER_TELLS
    assert provider.receipt({"status": "delivered", "messageId": "1"}) is None
