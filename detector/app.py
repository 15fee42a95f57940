"""Builds the objects and runs them: the one place that knows all rooms."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fastapi

from detector import (
    checks,
    config,
    detecting,
    errors,
    last_watchdog,
    links,
    living,
    loops,
    messaging,
    ports,
    signing,
    telemetry,
)
from detector.alertmanager import alerts as ending
from detector.alertmanager import client
from detector.api import application, auth, previews, server
from detector.files import policies as policy_files
from detector.models import warming
from detector.notify import heartbeat
from detector.policy.conditions import base
from detector.prometheus import alerts_api, connection, promtool, rule_files, ruler, writer
from detector.services import (
    advising,
    backfilling,
    charting,
    enriching,
    facts,
    forgetting,
    heartbeats,
    ledger,
    memory,
    observing,
    overview,
    policy_states,
    previewing,
    publishing,
    readings,
    recording,
    reloading,
    replaying,
    subjects,
    witness,
)
from detector.store import anomalies, database, deliveries, episodes, migrate, policies, tokens

logger = logging.getLogger(__name__)

STOP_WITHIN = timedelta(seconds=4)
"""All parts together may take so long to stop: half of it requests, a quarter loops."""
POLICIES_EVERY = timedelta(seconds=30)
"""How long rules may be others than those of the policies, after a crash or a slip of the hand."""
MMAP_THRESHOLD_BYTES = 1 << 20
_M_MMAP_THRESHOLD = -3  # malloc.h of glibc
FORGET_EVERY = timedelta(hours=1)
OBSERVE_EVERY = timedelta(seconds=5)
"""How late it may be known that an alert is silenced, or that a silenced one has ended."""
WATCH_EVERY_S = 1.0
WATCH_EVERY = timedelta(seconds=2)
"""How often PostgreSQL is asked how it is; readiness tells what it said last."""


def clock() -> float:
    """Epoch seconds: the one clock that all parts are given."""
    return time.time()  # noqa: TID251 - the edge where the clock comes in


def instant() -> datetime:
    """The same as an instant in UTC."""
    return datetime.fromtimestamp(clock(), UTC)


def serve(settings: config.Settings, load: Callable[[], config.Settings]) -> int:
    """Run until SIGTERM or SIGINT; 0 after a clean stop, 1 when the server ended by itself. At
    SIGHUP, and when the API is asked to, load() gives the settings anew.

    Raises ConfigError, StoreError.
    """
    stopping, reloads = threading.Event(), threading.Event()
    is_up = False

    def stop(*_: object) -> None:
        stopping.set()
        if not is_up:
            raise SystemExit(0)  # out of whatever the start waits for

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if hasattr(signal, "SIGHUP"):  # there is none on Windows
        signal.signal(signal.SIGHUP, lambda *_: reloads.set())
    return_freed_memory()
    url = _database_url(settings)
    checks.require(settings, patience=settings.detection.startup_timeout, say=_say_waiting)
    migrate.migrate(url)
    store = database.Database(url)
    meters = telemetry.Telemetry()
    detection = None
    if settings.anomaly_detection_enabled:
        detection = detecting.detection(settings, load, store, meters, clock=clock)
    current = detection.reloading.current if detection else lambda: settings
    rules = _rules(settings)
    made = _publishing(settings, store, rules, meters, current=current)
    upkeep = loops.Loop("policies", made.turn, interval=POLICIES_EVERY, meters=meters, clock=clock)
    sms = messaging.messaging(settings, store, meters, clock=clock, instant=instant)
    remembered = episodes.PostgresEpisodeStore(store)
    lived = living.living(settings, store, remembered, meters, clock=clock, instant=instant)
    needed = (
        *(detection.loops if detection else ()),
        upkeep,
        _forgetting(settings, store, meters),
        *lived.loops,
        *(sms.loops if sms else ()),
    )
    running = (*needed, _observing(settings, store, meters))
    state = overview.Overview(
        scoring_cycles=detection.cycles if detection else None,
        running=needed,  # an Alertmanager that is away is no reason to refuse requests
        check_store=store.check,
        meters=meters,
        clock=clock,
    )
    about = _subjects(store, current=current)
    enrich = _enriching(settings, store, about, meters)
    watch = loops.Loop("watch", state.refresh, interval=WATCH_EVERY, meters=meters, clock=clock)
    reload = detection.reloading.reload if detection else None
    web = _application(
        settings,
        store,
        state,
        meters,
        detection,
        current=current,
        rules=rules,
        made=made,
        lived=lived,
        sms=sms,
        about=about,
    )
    api = server.Server(web, settings.listen_address)
    logger.info("serving", extra={"url": api.start()})
    is_up = True
    watch.start()
    try:
        if detection:
            detection.writer.start()
        else:
            logger.warning("anomaly detection is turned off")
        for loop in (*running, enrich):
            loop.start()
        while not stopping.wait(WATCH_EVERY_S):
            if not api.is_running():
                logger.error("the HTTP server ended")
                return 1
            if reloads.is_set():
                reloads.clear()
                _reload(reload)
        return 0
    finally:
        watch.stop(STOP_WITHIN / 8)
        if not _stop(detection, api, (*running, enrich)):
            # A request or a query that hangs on a dead server holds a thread which the interpreter
            # would wait for: nothing is left to save, so end without it.
            logging.shutdown()
            os._exit(0 if stopping.is_set() else 1)
        store.close()


def return_freed_memory() -> None:
    """Let arrays of MMAP_THRESHOLD_BYTES and more go back to the system as soon as they are freed.

    Where glibc allocates, it raises that limit up to 32 MiB by itself when such arrays come and go,
    and each thread then keeps what it freed: of 10,000 series, a third of the process. Elsewhere,
    nothing.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no such library or function
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)


def _reload(reload: Callable[[], reloading.Changes] | None) -> None:
    """At a signal; what is wrong stands in the log already."""
    if reload is None:
        logger.warning("anomaly detection is turned off: nothing to reload")
        return
    with contextlib.suppress(errors.ConfigError):
        reload()


def migrate_store(settings: config.Settings) -> None:
    """Bring the tables up to date. Raises ConfigError, StoreError."""
    migrate.migrate(_database_url(settings))


def replay(settings: config.Settings, anomaly_id: int) -> replaying.Replay:
    """The score of an anomaly's peak made again. Raises ConfigError, StoreError, NotEnoughData."""
    store = database.Database(_database_url(settings))
    try:
        found = replaying.replay(anomalies.PostgresAnomalyStore(store), anomaly_id)
    finally:
        store.close()
    if found is None:
        raise errors.ConfigError(f"replay: {anomaly_id}: no anomaly has this id (/api/anomalies)")
    return found


@contextlib.contextmanager
def token_store(settings: config.Settings) -> Iterator[ports.TokenStore]:
    """The tokens of the API, for a command. Raises ConfigError; the block StoreError."""
    store = database.Database(_database_url(settings))
    try:
        yield tokens.PostgresTokenStore(store)
    finally:
        store.close()


def warm_up() -> float:
    """Compile every kernel into its cache; the seconds that took."""
    began = time.monotonic()
    warming.compile_kernels()
    writer.warm_up()
    return time.monotonic() - began


def _say_waiting(check: checks.Check) -> None:
    logger.warning("waiting", extra={"subject": check.subject, "reason": check.text})


def _database_url(settings: config.Settings) -> str:
    if settings.database_url is None:
        raise errors.ConfigError(
            "DATABASE_URL: not set: postgresql://user:password@host:5432/name is needed "
            "(mda up brings its own PostgreSQL)"
        )
    return settings.database_url.get_secret_value()


def _rules(settings: config.Settings) -> ports.RulePublisher:
    given = settings.policies
    program = shutil.which(given.promtool or "promtool")
    if program is None:
        logger.warning("no promtool on PATH: rules are parsed, their tests are not run")
    judge = None if program is None else promtool.Promtool(Path(program))
    client = connection.Client(
        settings.prometheus.url, timeout=settings.prometheus.timeout, auth=checks.auth(settings)
    )
    if given.ruler:
        tenant = given.ruler_tenant
        return ruler.Ruler(client, judge, headers={"X-Scope-OrgID": tenant} if tenant else {})
    folder = given.rules_dir or settings.home / "rendered" / "rules" / "generated"
    return rule_files.RuleFiles(folder.absolute(), client, judge)


def _observing(
    settings: config.Settings, store: database.Database, meters: telemetry.Telemetry
) -> loops.Loop:
    evaluation = _evaluation(settings)
    remembered = episodes.PostgresEpisodeStore(store)
    observer = observing.Observer(
        remembered,
        client.Client(settings.alertmanager.url),
        evaluation,
        backfilling.Backfilling(remembered, evaluation),
        clock=instant,
    )
    return loops.Loop("alerts", observer.turn, interval=OBSERVE_EVERY, meters=meters, clock=clock)


def _forgetting(
    settings: config.Settings, store: database.Database, meters: telemetry.Telemetry
) -> loops.Loop:
    remembered = episodes.PostgresEpisodeStore(store)
    forgets = forgetting.Forgetting(
        remembered,
        deliveries.PostgresDeliveryStore(store),
        keep=settings.alerts.keep,
        clock=instant,
    )
    return loops.Loop("forgetting", forgets.turn, interval=FORGET_EVERY, meters=meters, clock=clock)


def _publishing(
    settings: config.Settings,
    store: database.Database,
    rules: ports.RulePublisher,
    meters: telemetry.Telemetry,
    *,
    current: Callable[[], config.Settings],
) -> publishing.Publishing:
    initial = settings.policies.initial
    found = [] if initial is None else policy_files.load([initial])
    return publishing.Publishing(
        policies.PostgresPolicyStore(store),
        rules,
        alerts=ending.Ender(client.Client(settings.alertmanager.url)),
        thresholds=lambda: current().thresholds,
        clock=clock,
        meters=meters,
        initial=[each.document for each in found],
    )


def _subjects(
    store: database.Database, *, current: Callable[[], config.Settings]
) -> subjects.Subjects:
    kept = policies.PostgresPolicyStore(store)
    return subjects.Subjects(current, kept.all_policies, clock=instant)


def _evaluation(settings: config.Settings) -> ports.AlertEvaluation:
    prometheus = connection.Client(
        settings.prometheus.url, timeout=settings.prometheus.timeout, auth=checks.auth(settings)
    )
    return alerts_api.AlertsApi(prometheus)


def _enriching(
    settings: config.Settings,
    store: database.Database,
    about: subjects.Subjects,
    meters: telemetry.Telemetry,
) -> loops.Loop:
    """Readiness does not hang on it: messages go out without it, only with less in them."""
    base = settings.public_url
    made = (
        None if base is None else links.Links(base, signing.Signer(signing.key_of(settings.home)))
    )
    holder = client.Client(settings.alertmanager.url)
    told = facts.Facts(
        about,
        checks.connect(settings),
        anomalies.PostgresAnomalyStore(store),
        made,
        clock=instant,
    )
    judge = witness.Witness(_evaluation(settings), holder)
    enriched = enriching.Enriching(holder, holder, told, judge, clock=instant)
    return loops.Loop(
        "annotations",
        enriched.turn,
        interval=enriching.EVERY,
        meters=meters,
        clock=clock,
        pause=enriched.pause,
    )


def _pictures(
    settings: config.Settings, remembered: ports.EpisodeStore, about: subjects.Subjects
) -> application.ChartParts:
    drawn = charting.Charts(
        remembered,
        client.Client(settings.alertmanager.url),
        about,
        checks.connect(settings),
        clock=instant,
    )
    return application.ChartParts(drawn.picture, _signer(settings))


def _signer(settings: config.Settings) -> signing.Signer:
    return signing.Signer(signing.key_of(settings.home))


def _application(
    settings: config.Settings,
    store: database.Database,
    state: overview.Overview,
    meters: telemetry.Telemetry,
    detection: detecting.Detection | None,
    *,
    current: Callable[[], config.Settings],
    rules: ports.RulePublisher,
    made: publishing.Publishing,
    lived: living.Living,
    sms: messaging.Messaging | None,
    about: subjects.Subjects,
) -> fastapi.FastAPI:
    remembered = episodes.PostgresEpisodeStore(store)
    kept = policies.PostgresPolicyStore(store)
    reads = checks.connect(settings)
    told = deliveries.PostgresDeliveryStore(store)
    adviser = advising.Adviser(reads, lambda: detecting.watched(current()))
    return application.create_app(
        store=remembered,
        anomaly_store=anomalies.PostgresAnomalyStore(store),
        token_store=tokens.PostgresTokenStore(store),
        remembering=memory.Memory(
            remembered,
            count=lambda outcome, count: meters.webhook_notifications.labels(outcome).inc(count),
            clock=instant,
        ),
        status_source=state,
        registry=meters.registry,
        api_token=_token(settings.token_file or settings.home / "token"),
        webhook_token=_token(settings.webhook_token_file or settings.home / "webhook_token"),
        clock=instant,
        about=application.PolicyParts(
            store=kept,
            made=made,
            states=policy_states.PolicyStates(
                rules, remembered, policies=kept.all_policies, refused=lambda: made.refused
            ),
            previewer=lambda at: previewing.Previewer(
                reads,
                base.Given(current().thresholds, at),
                most_samples=previews.MOST_SAMPLES,
                advise=adviser.advice,
            ),
            adviser=adviser,
            readings=readings.Readings(reads, thresholds=lambda: current().thresholds),
            interval=lambda: current().metric_collection_interval,
        ),
        beats=_heartbeats(settings, meters),
        late_after=settings.heartbeat.late_after,
        living=lived.parts,
        told=application.ToldParts(
            kept=ledger.Ledger(
                told, count=lambda outcome: meters.webhook_events.labels(outcome).inc()
            ),
            store=told,
        ),
        sms=None if sms is None else sms.parts,
        pictures=None if settings.public_url is None else _pictures(settings, remembered, about),
        collect=None if detection is None else detection.collecting.collect,
        reload=None if detection is None else detection.reloading.reload,
    )


def _heartbeats(settings: config.Settings, meters: telemetry.Telemetry) -> heartbeats.Heartbeats:
    url = settings.heartbeat.url

    def keep(at: datetime) -> None:
        try:
            last_watchdog.write(settings.home, at)
        except OSError as error:
            path = settings.home / last_watchdog.NAME
            logger.warning("not written", extra={"file": str(path), "reason": error.strerror})

    return heartbeats.Heartbeats(
        None if url is None else heartbeat.HeartbeatUrl(url.get_secret_value()),
        keep=keep,
        came_at=last_watchdog.read(settings.home),
        clock=instant,
        meters=meters,
    )


def _token(path: Path) -> auth.Token:
    """The token that the file holds; the first start writes a random one, mode 0600."""
    auth.make_token_file(path)
    return auth.token_from_file(path)


def _stop(
    detection: detecting.Detection | None, api: server.Server, running: Sequence[loops.Loop]
) -> bool:
    """Stop what takes work in first, and send what is queued; False if not all ended in time."""
    deadline_s = time.monotonic() + STOP_WITHIN.total_seconds()
    late = [] if api.stop(STOP_WITHIN / 2) else ["api"]
    if detection is not None:
        detection.cycles.stop()
    for loop in running:
        loop.stop(timedelta(0))
    late += [loop.name for loop in running if not loop.stop(STOP_WITHIN / 8)]
    if detection is not None:
        if not late and not _store_rest(detection.recorder):
            late.append("anomalies")
        left = timedelta(seconds=max(deadline_s - time.monotonic(), 0.5))
        if not detection.writer.stop(left):
            late.append("writer")
        late += detection.cycles.unfinished()
    if late:
        logger.warning("stopped before all was done", extra={"parts": ",".join(late)})
    return not late


def _store_rest(recorder: recording.Recorder) -> bool:
    """Store the news that still wait, on a thread that may be left behind; False if it had to."""
    failed: list[str] = []

    def turn() -> None:
        try:
            recorder.turn()
        except errors.StoreError as error:
            failed.append(str(error))

    last = threading.Thread(target=turn, name="last-anomalies", daemon=True)
    last.start()
    last.join((STOP_WITHIN / 8).total_seconds())
    for reason in failed:
        logger.warning("anomalies not stored", extra={"reason": reason})
    return not last.is_alive()
