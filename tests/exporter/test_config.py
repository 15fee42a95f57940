from __future__ import annotations

import pathlib
from datetime import timedelta

import pytest

from exporter import access, config


def load(tmp_path: pathlib.Path, text: str, **env: str) -> config.Settings:
    path = tmp_path / "e.yml"
    path.write_text(text)
    return config.load(path, env)


def test_environment_wins_over_the_file_and_the_file_over_defaults(tmp_path: pathlib.Path) -> None:
    text = "listen_address: ':1'\nlog: {level: debug}\ncollectors: {cpu: {enabled: false}}\n"
    env = {"EXPORTER_LISTEN_ADDRESS": ":2", "EXPORTER_COLLECTORS__NETDEV__DEADLINE": "250ms"}
    found = load(tmp_path, text, **env)
    assert found.listen_address == ":2"
    assert found.log.level == "debug"
    assert not found.collectors.cpu.enabled
    assert found.collectors.netdev.deadline == timedelta(milliseconds=250)
    assert found.collectors.meminfo == config.CollectorSettings()
    assert config.load(None, {}).listen_address == "127.0.0.1:9100"


def test_the_file_can_be_named_by_the_environment(tmp_path: pathlib.Path) -> None:
    (tmp_path / "e.yml").write_text("self_metrics: false\n")
    env = {"EXPORTER_CONFIG_FILE": str(tmp_path / "e.yml")}
    assert not config.load(None, env).self_metrics


def test_a_secret_comes_from_its_file_and_shows_nowhere(tmp_path: pathlib.Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    env = {"EXPORTER_AUTH__BEARER_TOKEN_FILE": str(tmp_path / "token")}
    found = config.load(None, env)
    assert found.auth.bearer_token is not None
    assert found.auth.bearer_token.get_secret_value() == "t0ken"
    assert "t0ken" not in repr(found)


HASH = access.hash_password("x")
WRONG = [
    ("nonsense: 1", "nonsense: 1: unknown key: see docs/configuration.md"),
    ("collectors: {cpux: {}}", "collectors.cpux: {}: unknown key"),
    ("collectors: {cpu: {enabled: maybe}}", "collectors.cpu.enabled: 'maybe'"),
    ("collectors: {cpu: {deadline: 1x}}", "collectors.cpu.deadline: '1x': a number of seconds"),
    ("collectors: {cpu: {deadline: 0}}", "collectors.cpu.deadline: 0"),
    ("collectors: {netdev: {device_exclude: '('}}", "collectors.netdev.device_exclude: '('"),
    ("collectors: {netdev: {device_include: a, device_exclude: b}}", "set one"),
    ("listen_address: nowhere", "listen_address: 'nowhere'"),
    ("log: {level: loud}", "log.level: 'loud'"),
    ("tls: {cert_file: /x}", "cert_file and key_file belong together"),
    ("auth: {users: {a: {}}}", "a user has either password_hash or password_file"),
    ("auth: {users: {a: {password_hash: pa55}}}", "mda-exporter hash-password"),
    (f"auth: {{bearer_token: pa55, users: {{a: {{password_hash: {HASH}}}}}}}", "set one"),
    ("auth: {bearer_token: [pa55]}", "auth.bearer_token: (hidden)"),
    ("- a list", "list: keys with values are expected"),
    ("a: [", "not YAML"),
]


# A text may hold HASH, which is another in each process: two workers would not agree on an id.
@pytest.mark.parametrize(("text", "expected"), WRONG, ids=[expected for _, expected in WRONG])
def test_wrong_settings_are_one_line_that_names_file_key_and_value(
    tmp_path: pathlib.Path, text: str, expected: str
) -> None:
    with pytest.raises(config.ConfigError) as caught:
        load(tmp_path, text)
    line = str(caught.value)
    assert line.startswith(f"{tmp_path}/e.yml: ")
    assert expected in line
    assert "\n" not in line
    assert "pa55" not in line


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"EXPORTER_LISTEN_ADRESS": ":1"}, "EXPORTER_LISTEN_ADRESS: listen_adress: ':1': unknown"),
        ({"EXPORTER_LOG__LEVEL": "loud"}, "EXPORTER_LOG__LEVEL: log.level: 'loud'"),
        ({"EXPORTER_SELF_METRICS__X": "1"}, "EXPORTER_SELF_METRICS__X: self_metrics: {'x': '1'}"),
        ({"EXPORTER_AUTH__BEARER_TOKEN_FILE": "/absent"}, "BEARER_TOKEN_FILE: /absent: No such"),
        ({"EXPORTER_CONFIG_FILE": "/absent"}, "/absent: No such file"),
    ],
)
def test_wrong_environment_names_its_variable(env: dict[str, str], expected: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        config.load(None, env)
    assert expected in str(caught.value)
