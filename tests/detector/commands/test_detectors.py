"""Which detector a command asks, and with what token."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from detector import config, errors
from detector.commands import detectors
from detector.stack import addresses

SAID = {"url": "http://there:1", "token_file": None}
UNSAID = {"url": None, "token_file": None}


def settings(home: Path, **environ: str) -> config.Settings:
    return config.load(None, {"MDA_HOME": str(home), **environ})


@pytest.mark.parametrize(
    ("listen_address", "url"),
    [
        ("127.0.0.2:8490", "http://127.0.0.2:8490"),
        ("0.0.0.0:8491", "http://127.0.0.1:8491"),
        (":8491", "http://127.0.0.1:8491"),
        ("[::]:8491", "http://127.0.0.1:8491"),
        ("[::1]:8491", "http://[::1]:8491"),
    ],
)
def test_without_a_stack_it_is_the_one_of_the_settings(
    tmp_path: Path, listen_address: str, url: str
) -> None:
    given = settings(
        tmp_path, MDA_LISTEN_ADDRESS=listen_address, MDA_ALERTMANAGER__URL="http://am:1"
    )
    assert detectors.url_of(given, argparse.Namespace(**UNSAID)) == url
    assert detectors.alertmanager_of(given) == "http://am:1"


def test_a_stack_on_the_home_folder_comes_first_and_what_is_said_before_it(tmp_path: Path) -> None:
    addresses.save(tmp_path, addresses.Addresses("h:1", "h:2", "h:3", "h:4"))
    given = settings(tmp_path)
    assert detectors.url_of(given, argparse.Namespace(**UNSAID)) == "http://h:4"
    assert detectors.url_of(given, argparse.Namespace(**SAID)) == "http://there:1"
    assert detectors.alertmanager_of(given) == "http://h:3"


def test_the_token_is_that_of_the_file_that_is_named_nearest(tmp_path: Path) -> None:
    for name in ("token", "of_settings", "said"):
        (tmp_path / name).write_text(f"{name}\n")
    bare = settings(tmp_path)
    named = settings(tmp_path, MDA_TOKEN_FILE=str(tmp_path / "of_settings"))
    said = argparse.Namespace(token_file=tmp_path / "said")
    assert detectors.token_of(bare, argparse.Namespace(**UNSAID)) == "token"
    assert detectors.token_of(named, argparse.Namespace(**UNSAID)) == "of_settings"
    assert detectors.token_of(named, said) == "said"


@pytest.mark.parametrize(
    ("held", "reason"), [(None, "No such file or directory"), (b"\xff", "not UTF-8 text")]
)
def test_a_token_that_cannot_be_read_is_one_line(
    tmp_path: Path, held: bytes | None, reason: str
) -> None:
    if held is not None:
        (tmp_path / "token").write_bytes(held)
    with pytest.raises(errors.ConfigError) as caught:
        detectors.token_of(settings(tmp_path), argparse.Namespace(**UNSAID))
    file = tmp_path / "token"
    assert str(caught.value) == f"token file: {file}: {reason}: name one with --token-file"
