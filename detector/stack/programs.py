"""What `mda up` runs: argv, environment and readiness of each part."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Mapping

from detector.stack import addresses as addresses_
from detector.stack import children, debian, postgres, probe, render, supervisor

# The servers see nothing of our environment but this: no secret, yet the way out to Slack.
PASSED_ON = (
    *("PATH", "HOME", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
# The detector imports numba and PyOD, and at its first start compiles.
DETECTOR_READY_TIMEOUT_S = 180.0
# Prometheus replays its write-ahead log before it serves.
PROMETHEUS_READY_TIMEOUT_S = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Stack:
    """All that is settled before anything starts.

    database   None when DATABASE_URL names another PostgreSQL
    environ    what our own programs see, settings and secrets included, with those of .env
    inherited  the same without settings of .env, which the detector reads anew at each reload
    policies   what is created where there has never been a policy; None where settings say it
    """

    home: pathlib.Path
    addresses: addresses_.Addresses
    prometheus: pathlib.Path
    promtool: pathlib.Path
    policies: pathlib.Path | None
    alertmanager: pathlib.Path
    rendered: render.Rendered
    database: postgres.Place | None
    environ: Mapping[str, str]
    inherited: Mapping[str, str]
    config_file: pathlib.Path | None

    def log(self, name: str) -> pathlib.Path:
        return self.home / "logs" / f"{name}.log"


def services(stack: Stack) -> list[supervisor.Service]:
    """In the order of their start."""
    database = [] if stack.database is None else [_database(stack, stack.database)]
    return [*database, _prometheus(stack), _alertmanager(stack), _exporter(stack), _detector(stack)]


def _database(stack: Stack, place: postgres.Place) -> supervisor.Service:
    program = dataclasses.replace(
        postgres.program(place, stack.log("postgres")), env=_servers_env(stack)
    )
    return supervisor.Service(program, lambda: postgres.is_ready(place))


def _prometheus(stack: Stack) -> supervisor.Service:
    address = stack.addresses.prometheus
    program = children.Program(
        name="prometheus",
        argv=[
            str(stack.prometheus),
            f"--config.file={stack.rendered.prometheus}",
            f"--storage.tsdb.path={stack.home / 'prometheus'}",
            f"--web.listen-address={address}",
            f"--web.external-url={stack.addresses.url('prometheus')}",
            "--web.enable-remote-write-receiver",
            "--web.enable-lifecycle",
        ],
        log_path=stack.log("prometheus"),
        env=_servers_env(stack),
        cwd=debian.working_folder(stack.prometheus),
    )
    return supervisor.Service(program, probe.is_ok(address, "/-/ready"), PROMETHEUS_READY_TIMEOUT_S)


def _alertmanager(stack: Stack) -> supervisor.Service:
    address = stack.addresses.alertmanager
    program = children.Program(
        name="alertmanager",
        argv=[
            str(stack.alertmanager),
            f"--config.file={stack.rendered.alertmanager}",
            f"--storage.path={stack.home / 'alertmanager'}",
            f"--web.listen-address={address}",
            f"--web.external-url={stack.addresses.url('alertmanager')}",
            "--cluster.listen-address=",
            *(f"--enable-feature={feature}" for feature in stack.rendered.features),
        ],
        log_path=stack.log("alertmanager"),
        env=_servers_env(stack),
        cwd=debian.working_folder(stack.alertmanager),
    )
    return supervisor.Service(program, probe.is_ok(address, "/-/ready"))


def _exporter(stack: Stack) -> supervisor.Service:
    address = stack.addresses.exporter
    program = children.Program(
        name="exporter",
        argv=[sys.executable, "-m", "exporter", "serve"],
        log_path=stack.log("exporter"),
        env={**stack.environ, "EXPORTER_LISTEN_ADDRESS": address},
    )
    return supervisor.Service(program, probe.is_ok(address, "/-/healthy"))


def _detector(stack: Stack) -> supervisor.Service:
    address = stack.addresses.detector
    config = [] if stack.config_file is None else ["--config", str(stack.config_file.absolute())]
    program = children.Program(
        name="detector",
        argv=[sys.executable, "-m", "detector", "serve", *config],
        log_path=stack.log("detector"),
        env={**stack.inherited, **_detector_settings(stack)},
    )
    return supervisor.Service(program, probe.is_ok(address, "/-/healthy"), DETECTOR_READY_TIMEOUT_S)


def _detector_settings(stack: Stack) -> dict[str, str]:
    """Settings that only `mda up` knows, by the names that the detector reads."""
    database = {} if stack.database is None else {"DATABASE_URL": stack.database.url()}
    initial = {} if stack.policies is None else {"MDA_POLICIES__INITIAL": str(stack.policies)}
    return (
        database
        | initial
        | {
            "MDA_POLICIES__RULES_DIR": str(stack.rendered.generated),
            "MDA_POLICIES__PROMTOOL": str(stack.promtool),
            "MDA_HOME": str(stack.home),
            "MDA_LISTEN_ADDRESS": stack.addresses.detector,
            "MDA_PROMETHEUS__URL": stack.addresses.url("prometheus"),
            "MDA_ALERTMANAGER__URL": stack.addresses.url("alertmanager"),
            "MDA_TOKEN_FILE": str(stack.home / "token"),
            "MDA_WEBHOOK_TOKEN_FILE": str(stack.home / "webhook_token"),
        }
    )


def _servers_env(stack: Stack) -> dict[str, str]:
    return {name: stack.environ[name] for name in PASSED_ON if name in stack.environ}
