from __future__ import annotations

import itertools

import pytest

from detector import access
from tests.factories import at

VIEWER, OPERATOR, ADMIN = access.Role


@pytest.mark.parametrize(("one", "other"), list(itertools.product(access.Role, repeat=2)))
def test_a_role_includes_itself_and_those_before_it(one: access.Role, other: access.Role) -> None:
    included = {
        VIEWER: {VIEWER},
        OPERATOR: {VIEWER, OPERATOR},
        ADMIN: {VIEWER, OPERATOR, ADMIN},
    }
    assert one.includes(other) == (other in included[one])


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("ci", True),
        ("9", True),
        ("ci-runner_2.a@example.org", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("", False),
        ("-ci", False),
        ("two words", False),
        (access.TOKEN_FILE.name, False),
        ("ci\n", False),
        ("ci\x00", False),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}", False),
        ("<b>", False),
    ],
)
def test_names_are_plain_words(name: str, allowed: bool) -> None:
    assert access.is_name(name) == allowed


def token(expires: float | None) -> access.Token:
    return access.Token(
        id=1,
        name="ci",
        role=OPERATOR,
        created_at=at(0),
        created_by="anna",
        expires_at=None if expires is None else at(expires),
        last_used_at=None,
    )


@pytest.mark.parametrize(("seconds", "expired"), [(59, False), (60, True), (61, True)])
def test_a_token_is_expired_from_its_end_on(seconds: float, expired: bool) -> None:
    assert token(60).is_expired(at(seconds)) == expired
    assert not token(None).is_expired(at(seconds))


def test_who_bears_a_token_has_its_name_and_role() -> None:
    assert token(None).caller == access.Caller("ci", OPERATOR)


def test_digests_are_sha256_of_any_text() -> None:
    """The example of FIPS 180; and a lone surrogate, which UTF-8 has not."""
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert access.digest_of("abc").hex() == expected
    assert len(access.digest_of("\udcff")) == 32
