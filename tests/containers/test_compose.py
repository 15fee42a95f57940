"""docker-compose.yml and the images, as far as that can be seen without a Docker Engine."""

from __future__ import annotations

import ast
import re
import runpy
import sys
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from detector import config
from exporter import config as exporter_config
from tests import conftest

ROOT = conftest.ROOT
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# Import names that are not the name of what is installed.
DISTRIBUTIONS = {"yaml": "pyyaml", "prometheus_client": "prometheus-client"}

every_service = pytest.mark.parametrize("name", sorted(SERVICES))


def test_the_whole_stack_is_there() -> None:
    assert set(SERVICES) == {
        "render",
        "exporter",
        "prometheus",
        "alertmanager",
        "postgres",
        "detector",
        "grafana",
    }
    # What Compose 1.29 wants and v2 ignores.
    assert COMPOSE["version"] == "3.8"


@every_service
def test_a_container_may_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service


@every_service
def test_no_container_runs_as_root(name: str) -> None:
    user = SERVICES[name].get("user") or user_of(f"docker/{image_name(name)}.Dockerfile")
    uid = user.split(":")[0]
    assert uid.isdecimal()
    assert int(uid) > 0


def image_name(service: str) -> str:
    return str(SERVICES[service]["image"]).removeprefix("monitor-drift-agent/")


def user_of(dockerfile: str) -> str:
    """The user of the last stage."""
    return str(re.findall(r"^USER (\S+)$", (ROOT / dockerfile).read_text(), re.MULTILINE)[-1])


@every_service
def test_a_port_is_open_to_this_machine_alone(name: str) -> None:
    assert [
        port for port in SERVICES[name].get("ports", []) if not port.startswith("127.0.0.1:")
    ] == []


@every_service
def test_a_service_that_stays_has_a_health_check(name: str) -> None:
    assert ("healthcheck" in SERVICES[name]) is (name != "render")


@every_service
def test_images_of_others_are_pinned(name: str) -> None:
    image = SERVICES[name]["image"]
    if not image.startswith("monitor-drift-agent/"):
        assert re.search(r":v?\d", image)


def test_data_lies_in_named_volumes_that_are_all_declared() -> None:
    named = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if isinstance(volume, str) and not volume.startswith(".")
    }
    assert named == set(COMPOSE["volumes"])


def test_what_is_bound_from_the_checkout_is_there_and_read_only() -> None:
    bound = [
        volume.split(":")
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if isinstance(volume, str) and volume.startswith(".")
    ]
    assert [path for path, *_ in bound if not (ROOT / path).exists()] == []
    assert {mode for *_, mode in bound} == {"ro"}


@every_service
def test_no_secret_stands_in_the_environment(name: str) -> None:
    environment = SERVICES[name].get("environment", {})
    inline = [
        key
        for key, value in environment.items()
        if re.search("PASSWORD|TOKEN|SECRET|DATABASE_URL", key)
        and not (key.endswith("_FILE") and str(value).startswith("/rendered/secrets/"))
    ]
    assert inline == []


def shipped_settings() -> dict[str, str]:
    """.env.example, as compose reads it."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_detector_accepts_what_compose_gives_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("secrets")
    environment = {**shipped_settings(), **SERVICES["detector"]["environment"]}
    (folder / "database_url").write_text("postgresql://mda:x@postgres:5432/mda")
    environment["DATABASE_URL_FILE"] = str(folder / "database_url")
    settings = config.load(None, environment)
    assert settings.prometheus.url == "http://prometheus:9090"
    assert settings.alertmanager.url == "http://alertmanager:9093"
    assert settings.metric_collection_interval.total_seconds() == 5
    assert settings.ml_detection_enabled


def test_the_exporter_accepts_what_compose_gives_it() -> None:
    settings = exporter_config.load(None, SERVICES["exporter"]["environment"])
    host = SERVICES["exporter"]["volumes"][0]["target"]
    paths = settings.paths
    assert {str(paths.rootfs), str(paths.procfs), str(paths.sysfs)} == {
        host,
        f"{host}/proc",
        f"{host}/sys",
    }


def test_grafana_learns_the_interval_that_is_shipped() -> None:
    given = SERVICES["grafana"]["environment"]["METRIC_COLLECTION_INTERVAL"]
    shipped = shipped_settings()["METRIC_COLLECTION_INTERVAL"]
    assert given == "${METRIC_COLLECTION_INTERVAL:-" + shipped + "}"


def test_a_copy_of_the_shipped_settings_names_itself() -> None:
    assert shipped_settings()["ENV_FILE"] == ".env"
    for name in ("render", "detector"):
        assert SERVICES[name]["env_file"] == "${ENV_FILE:-.env.example}"


def test_ports_are_those_that_the_configurations_name() -> None:
    named = re.findall(
        r"(exporter|prometheus|alertmanager|detector):(\d+)",
        (ROOT / "prometheus.yml").read_text() + (ROOT / "alertmanager.yml").read_text(),
    )
    open_ports = {
        name: service["ports"][0].rsplit(":", 1)[1]
        for name, service in SERVICES.items()
        if "ports" in service
    }
    assert {(name, port) for name, port in named} == {
        (name, port) for name, port in open_ports.items() if name != "grafana"
    }


def test_the_exporters_image_installs_all_that_it_imports_and_no_more() -> None:
    dockerfile = (ROOT / "docker" / "exporter.Dockerfile").read_text()
    found = re.search(r"requirements\.py (.+) >", dockerfile)
    assert found
    assert set(found[1].split()) == {
        DISTRIBUTIONS.get(name, name) for name in third_party_imports("exporter")
    }


def third_party_imports(package: str) -> Iterator[str]:
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                top = name.split(".")[0]
                if top not in sys.stdlib_module_names and top != package:
                    yield top


REQUIREMENTS: Mapping[str, Any] = runpy.run_path(str(ROOT / "docker" / "requirements.py"))
PYPROJECT = '[project]\ndependencies = ["a>=1", "b-c[d]>=2; python_version > \'3\'"]\n'


def test_requirements_are_those_named_else_all() -> None:
    requirements = REQUIREMENTS["requirements"]
    assert requirements(PYPROJECT, ["b-c"]) == ["b-c[d]>=2; python_version > '3'"]
    assert requirements(PYPROJECT, []) == tomllib.loads(PYPROJECT)["project"]["dependencies"]
    with pytest.raises(SystemExit, match="e: not among"):
        requirements(PYPROJECT, ["e"])


def test_the_configuration_is_written_for_the_alertmanager_that_runs() -> None:
    version = SERVICES["render"]["environment"]["MDA_ALERTMANAGER__VERSION"]
    assert SERVICES["alertmanager"]["image"] == f"prom/alertmanager:v{version}"
