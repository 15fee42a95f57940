"""What people do about alerts with, over fakes or real parts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from detector import ports, signing
from detector.api import actions, application
from detector.services import answering, raising, silencing
from tests.fakes.alertmanager import FakeAlertmanager
from tests.fakes.manual import FakeLinkStore, FakeManualStore

LIMITS = silencing.Limits(longest=timedelta(days=7), alerts=10, ratio=0.2)


class Alertmanager(ports.AlertSource, ports.AlertPoster, ports.Silencer, Protocol):
    """All that is asked of it."""


def parts(
    store: ports.EpisodeStore,
    signer: signing.Signer,
    clock: Callable[[], datetime],
    *,
    alertmanager: Alertmanager | None = None,
    manual: ports.ManualStore | None = None,
    used: ports.LinkStore | None = None,
    failures: list[str] | None = None,
) -> application.AnswerParts:
    """Fakes in the place of what is not given."""
    asked = alertmanager or FakeAlertmanager(clock)
    counted = [] if failures is None else failures
    silences = silencing.Silencing(asked, asked, store, signer, LIMITS, clock=clock)
    raised = raising.Raising(manual or FakeManualStore(), store, asked, clock=clock)
    answers = answering.Answering(
        store, asked, asked, silences, raised, clock=clock, count_failure=counted.append
    )
    pages = actions.Actions(
        store, used or FakeLinkStore(), answers, signer, longest=LIMITS.longest, clock=clock
    )
    return application.AnswerParts(answers, raised, silences, asked, pages)
