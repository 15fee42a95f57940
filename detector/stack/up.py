"""`mda up`: the whole stack on this machine, in the foreground."""

from __future__ import annotations

import pathlib
import urllib.parse
from collections.abc import Callable, Mapping
from datetime import timedelta

import rich.box
import rich.console
import rich.table

from detector import config, errors, last_watchdog
from detector.stack import addresses as addresses_
from detector.stack import (
    checkout,
    debian,
    kernels,
    lock,
    postgres,
    programs,
    render,
    status,
    supervisor,
    terminal,
    tokens,
    warmup,
    watchdog,
)
from detector.stack.receivers import versions

Say = Callable[[str], None]


def run(settings: config.Settings, config_file: pathlib.Path | None = None) -> int:
    """Run until Ctrl-C or SIGTERM; returns the exit code.

    Raises StackError when a part cannot be had or started, ConfigError for settings that clash.
    """
    console = terminal.console()
    home = settings.home.absolute()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with lock.held(home):
            say = terminal.sayer(console)
            with kernels.compiled(home, config.environment(), say):
                stack = _settled(settings, home, config_file, say)
            _supervise(stack, console, settings.heartbeat.late_after)
    except OSError as exc:
        raise errors.StackError(f"{exc.filename or home}: {exc.strerror or exc}") from exc
    console.print("Everything is stopped; the data stays.", markup=False)
    return 0


def _settled(
    settings: config.Settings, home: pathlib.Path, config_file: pathlib.Path | None, say: Say
) -> programs.Stack:
    wanted = _wanted_ports(settings)
    source = debian.Source(home / "cache" / "debian", debian.Suite.HOST, say)
    tools = render.Tools(promtool=source.find("promtool"), amtool=source.find("amtool"))
    addresses = addresses_.choose(home, wanted, say)
    for name in ("token", "webhook_token"):
        tokens.ensure(home / name)
    database = None if settings.database_url is not None else postgres.prepare(home, say)
    own = settings.model_copy(update={"webhook_token_file": home / "webhook_token"})
    alertmanager = source.find("alertmanager")
    version = versions.of(settings, address=None, program=alertmanager)
    rendered = render.render(own, addresses, home / "rendered", tools, version=version)
    for note in rendered.notes:
        say(note)
    addresses_.save(home, addresses)
    own_policies = settings.policies.initial is None
    return programs.Stack(
        home=home,
        addresses=addresses,
        prometheus=source.find("prometheus"),
        promtool=source.find("promtool"),
        policies=checkout.find(pathlib.Path.cwd()) / "rules/policies" if own_policies else None,
        alertmanager=alertmanager,
        rendered=rendered,
        database=database,
        environ=config.environment(),
        inherited=config.inherited(),
        config_file=config_file,
    )


def _wanted_ports(settings: config.Settings) -> Mapping[str, int]:
    """The ports that the settings ask for.

    Raises ConfigError when they name a server that is not ours to start.
    """
    urls = {
        "prometheus": settings.prometheus.url,
        "alertmanager": settings.alertmanager.url,
        "detector": f"http://{settings.listen_address}",
    }
    ports = {}
    for part, url in urls.items():
        split = urllib.parse.urlsplit(url)
        if split.hostname not in ("127.0.0.1", "localhost", None):
            raise errors.ConfigError(
                f"{part}: {url}: mda up runs its own on 127.0.0.1: unset it, or use mda serve"
            )
        ports[part] = split.port or addresses_.DEFAULT_PORTS[part]
    return ports


def _supervise(stack: programs.Stack, console: rich.console.Console, late_after: timedelta) -> None:
    say = terminal.sayer(console)
    services = programs.services(stack)
    say(f"starting {', '.join(service.program.name for service in services)}")
    display = warmup.Display(
        console, lambda: status.read(stack.addresses.detector, stack.home / "token")
    )
    watch = watchdog.Watch(
        lambda: last_watchdog.read(stack.home),
        late_after=late_after,
        find_cause=lambda: watchdog.cause(stack.addresses, stack.log),
        say=say,
    )

    def turn() -> None:
        display.turn()
        watch.turn()

    try:
        supervisor.Supervisor(services, say).run(
            on_started=lambda: _greet(stack, console), on_turn=turn
        )
    finally:
        display.close()


def _greet(stack: programs.Stack, console: rich.console.Console) -> None:
    table = rich.table.Table(box=rich.box.SIMPLE, show_header=False, padding=(0, 1))
    for part, path in (
        ("prometheus", ""),
        ("alertmanager", ""),
        ("exporter", "/metrics"),
        ("detector", "/docs"),
    ):
        table.add_row(part, f"{stack.addresses.url(part)}{path}")
    if stack.database is None:
        table.add_row("postgres", "as DATABASE_URL says")
    else:
        table.add_row("postgres", f"socket in {stack.database.socket_dir}")
    table.add_row("data, logs", str(stack.home))
    table.add_row("API token", str(stack.home / "token"))
    console.print(table)
    console.print("Everything serves. Ctrl-C stops it; the data stays.", markup=False)
