"""The host's package sources, moved to the next release: pure text in, text out.

No archive's address stands in this project: whoever runs it already trusts some mirror, and that
mirror carries the next release beside the present one. Formats: sources.list(5), the one-line
style and deb822.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

# The name under which each distribution's archive keeps the release that comes next.
NEXT_SUITE = {"debian": "testing", "ubuntu": "devel"}

_ONE_LINE = re.compile(
    r"^deb\s+(?P<options>\[[^\]]*\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)$"
)


def next_one_line(text: str, *, codename: str, suite: str) -> str:
    """The `deb` lines of the release itself, naming `suite`; updates and security are left out."""
    return "".join(f"{line}\n" for line in _moved_lines(text, codename, suite))


def _moved_lines(text: str, codename: str, suite: str) -> Iterator[str]:
    for line in text.splitlines():
        found = _ONE_LINE.match(line.split("#", 1)[0].strip())
        if found and found["suite"] == codename:
            yield f"deb {found['options'] or ''}{found['uri']} {suite} {found['components']}"


def next_deb822(text: str, *, codename: str, suite: str) -> str:
    """The stanzas of the release itself, naming `suite`; updates and security are left out."""
    return "\n".join(_moved_stanzas(text, codename, suite))


def _moved_stanzas(text: str, codename: str, suite: str) -> Iterator[str]:
    for stanza in re.split(r"\n\s*\n", _without_comments(text.splitlines())):
        fields = {name.lower(): (name, value) for name, value in _fields(stanza)}
        if codename not in fields.get("suites", ("", ""))[1].split():
            continue
        if "deb" not in fields.get("types", ("", ""))[1].split():
            continue
        if fields.get("enabled", ("", "yes"))[1].strip().lower() == "no":
            continue
        moved = fields | {"suites": ("Suites", f" {suite}"), "types": ("Types", " deb")}
        yield "".join(f"{name}:{value}\n" for name, value in moved.values())


def _without_comments(lines: Iterable[str]) -> str:
    return "\n".join(line for line in lines if not line.startswith("#"))


def _fields(stanza: str) -> Iterator[tuple[str, str]]:
    """Field name and value; a value keeps its continuation lines, such as an inline key."""
    for field in re.split(r"\n(?=\S)", stanza.strip("\n")):
        name, colon, value = field.partition(":")
        if colon:
            yield name, value
