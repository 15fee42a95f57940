"""Builds what people do about alerts with, from the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from detector import config, loops, ports, signing, telemetry
from detector.alertmanager import client
from detector.api import actions, application
from detector.services import answering, planned_work, raising, silencing
from detector.store import database, manual, used_links


@dataclass(frozen=True, slots=True)
class Living:
    """Its loops, and what the API needs of it."""

    loops: tuple[loops.Loop, ...]
    parts: application.AnswerParts


def living(
    settings: config.Settings,
    store: database.Database,
    episodes: ports.EpisodeStore,
    meters: telemetry.Telemetry,
    *,
    clock: Callable[[], float],
    instant: Callable[[], datetime],
) -> Living:
    """Raises ConfigError."""
    alertmanager = client.Client(settings.alertmanager.url)
    signer = signing.Signer(signing.key_of(settings.home))
    given = settings.silences
    silences = silencing.Silencing(
        alertmanager,
        alertmanager,
        episodes,
        signer,
        silencing.Limits(given.longest, given.confirm_above, given.confirm_above_ratio),
        clock=instant,
    )
    raised = raising.Raising(
        manual.PostgresManualStore(store), episodes, alertmanager, clock=instant
    )
    answers = answering.Answering(
        episodes,
        alertmanager,
        alertmanager,
        silences,
        raised,
        clock=instant,
        count_failure=lambda kind: meters.loop_failures.labels("acknowledged", kind).inc(),
    )
    planned = planned_work.PlannedWork(
        episodes,
        alertmanager,
        alertmanager,
        clock=instant,
        count_failure=lambda kind: meters.loop_failures.labels("planned", kind).inc(),
    )
    pages = actions.Actions(
        episodes,
        used_links.PostgresLinkStore(store),
        answers,
        signer,
        longest=given.longest,
        clock=instant,
    )
    return Living(
        (
            loops.Loop("raised", raised.turn, interval=raising.EVERY, meters=meters, clock=clock),
            loops.Loop(
                "acknowledged", answers.turn, interval=answering.EVERY, meters=meters, clock=clock
            ),
            loops.Loop(
                "planned", planned.turn, interval=planned_work.EVERY, meters=meters, clock=clock
            ),
        ),
        application.AnswerParts(answers, raised, silences, alertmanager, pages),
    )
