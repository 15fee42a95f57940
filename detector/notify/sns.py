"""AWS SNS: Publish to a phone number.

https://docs.aws.amazon.com/sns/latest/dg/sms_publish-to-phone.html. It can neither be asked for a
message nor tells what became of it but in CloudWatch's logs.

botocore finds credentials and signs; the request itself goes as that of every provider. Its own
client hides the status of an answer that is no XML, as a load balancer gives, and where a request
was when it failed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from detector import errors, messages
from detector.notify import exchange, said

VERSION = "2010-03-31"
THROTTLING = ("Throttl", "TooManyRequests", "RequestLimitExceeded")
"""How the codes of errors begin that pass, whatever their status; InternalError comes with 500."""
_MESSAGE_ID = re.compile(r"<MessageId>([\w-]{1,100})</MessageId>", re.ASCII)
_CODE = re.compile(r"<Code>([\w.]{1,100})</Code>", re.ASCII)
_WORDS = re.compile(r"<Message>([^<]{1,1000})</Message>")


class Sns:
    """ports.SmsProvider.

    key, secret  of an IAM user that may sns:Publish; both empty: as AWS' tools find them
    sender       a name (SenderID) or a number (OriginationNumber); empty: as the account says
    region       where to publish; not all of them send SMS
    base_url     None: the region's own
    """

    name = "sns"

    def __init__(
        self,
        *,
        key: str,
        secret: str,
        sender: str,
        region: str,
        clock: exchange.Clock,
        base_url: str | None = None,
        connect_timeout: timedelta = exchange.CONNECT_TIMEOUT,
        read_timeout: timedelta = exchange.READ_TIMEOUT,
    ) -> None:
        exchange.need(self.name, region=region)
        if bool(key) != bool(secret):
            raise errors.ConfigError(f"{self.name}: api_key, api_secret: both or none of them")
        self._url = base_url or address_of(region)
        self._sender, self._region, self._clock = sender, region, clock
        self._scrubber = said.Scrubber(key, secret)
        self._endpoint = exchange.Endpoint(
            self._url,
            source=f"{self.name}: url",
            scrubber=self._scrubber,
            clock=clock,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )
        self._aws = _Aws(key, secret)

    def send(self, message: messages.Outgoing) -> messages.Outcome:
        """Hand a message over, once."""
        try:
            signer = self._aws.signer(self._region)
        except self._aws.failures as exc:
            return messages.Refused(self._scrubber.line(f"no credentials: {exc}"), again=True)

        def signed(body: bytes, content_type: str) -> Mapping[str, str]:
            request = self._aws.request(self._url.rstrip("/") + "/", body, content_type)
            signer.add_auth(request)
            return dict(request.headers.items())

        answer = self._endpoint.post("/", self._form(message), signed)
        if not isinstance(answer, exchange.Answer):
            return answer
        text = answer.body.decode(errors="replace")
        code, words = _first(_CODE, text), _first(_WORDS, text)
        fault = self._endpoint.fault(answer, said.words(code, words))
        if fault is not None and code.startswith(THROTTLING):
            wait = exchange.wait_asked(answer.headers.get("retry-after"), self._clock())
            return messages.Refused(fault.reason, again=True, wait=wait)
        if fault is not None:
            return fault
        provider_id = self._scrubber.identifier(_first(_MESSAGE_ID, text))
        if not provider_id:
            return messages.Unclear("an answer that does not tell whether the message was taken")
        return messages.Accepted(provider_id)

    def find(self, message: messages.Outgoing) -> messages.Lookup:
        """SNS cannot be asked."""
        return messages.Lookup.NEVER_TELLS

    def receipt(self, form: Mapping[str, str]) -> messages.Receipt | None:
        """SNS calls nobody back."""
        return None

    def _form(self, message: messages.Outgoing) -> dict[str, str]:
        form = {
            "Action": "Publish",
            "Version": VERSION,
            "PhoneNumber": message.recipient,
            "Message": message.text,
        }
        attributes = {"AWS.SNS.SMS.SMSType": "Transactional"}
        if self._sender.removeprefix("+").isdecimal():
            attributes["AWS.MM.SMS.OriginationNumber"] = self._sender
        elif self._sender:
            attributes["AWS.SNS.SMS.SenderID"] = self._sender
        for number, (name, value) in enumerate(attributes.items(), 1):
            entry = f"MessageAttributes.entry.{number}"
            form[f"{entry}.Name"] = name
            form[f"{entry}.Value.DataType"] = "String"
            form[f"{entry}.Value.StringValue"] = value
        return form


class _Aws:
    """What botocore does for us.

    Raises ConfigError if it is not installed, or finds no credentials where none are given.
    """

    def __init__(self, key: str, secret: str) -> None:
        try:
            from botocore import auth, awsrequest, credentials, exceptions, session
        except ImportError:
            raise errors.ConfigError(
                "sns: boto3 is not installed: pip install 'monitor-drift-agent[aws]'"
            ) from None
        self._auth, self._awsrequest = auth, awsrequest
        self.failures = (exceptions.BotoCoreError, exceptions.ClientError, OSError)
        self._credentials: Any = None
        if key:
            self._credentials = credentials.Credentials(key, secret)
            return
        try:
            self._credentials = session.Session().get_credentials()
        except self.failures as exc:
            raise errors.ConfigError(
                f"sns: api_key, api_secret: {said.Scrubber().line(str(exc))}"
            ) from exc
        if self._credentials is None:
            raise errors.ConfigError(
                "sns: api_key, api_secret: empty, and there are no credentials in the "
                "environment, in ~/.aws or of this machine's role"
            )

    def signer(self, region: str) -> Any:
        """Signs requests, with credentials that are good now."""
        return self._auth.SigV4Auth(self._credentials.get_frozen_credentials(), "sns", region)

    def request(self, url: str, body: bytes, content_type: str) -> Any:
        """A request that can be signed."""
        headers = {"Content-Type": content_type}
        return self._awsrequest.AWSRequest("POST", url, headers=headers, data=body)


def address_of(region: str) -> str:
    """Where SNS is in a region.

    >>> address_of("eu-central-1"), address_of("cn-north-1")
    ('https://sns.eu-central-1.amazonaws.com', 'https://sns.cn-north-1.amazonaws.com.cn')
    """
    return f"https://sns.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""
