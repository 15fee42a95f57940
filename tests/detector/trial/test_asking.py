"""What is made of answers that are none of Alertmanager's or the detector's."""

from __future__ import annotations

import pytest

from detector import errors
from detector.trial import asking
from tests import faults


def test_an_answer_of_something_else_is_one_line() -> None:
    page = faults.Planned(200, {"Content-Type": "text/html"}, b"<html>log in</html>")
    with faults.Receiver(lambda _: page) as server:
        with pytest.raises(errors.UpstreamError, match=r"^Alertmanager http.*: what answers GET "):
            asking.Alertmanager(server.url).configured()
        with pytest.raises(errors.UpstreamError, match=r"^detector http.*no JSON: is it"):
            asking.Detector(server.url, "canary").is_remembered("1")


def test_the_token_goes_by_no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = faults.Planned(200, {"Content-Type": "application/json"}, b'{"alerts": []}')
    with (
        faults.Receiver(lambda _: nothing) as server,
        faults.Receiver(lambda _: nothing) as proxy,
    ):
        for name in ("http_proxy", "all_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        asking.Detector(server.url, "canary").is_remembered("1")
        assert (len(server.received), proxy.received) == (1, [])
