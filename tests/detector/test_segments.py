"""SMS parts, against the definition applied plainly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector import segments

GSM = st.text(alphabet=segments.BASIC + segments.EXTENDED, max_size=700)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def cut(text: str) -> list[str]:
    """The parts themselves, filled greedily."""
    units = 160 if segments.is_plain(text) else 70
    if size(text, text) <= units:
        return [text]
    units = 153 if segments.is_plain(text) else 67
    parts = [""]
    for character in text:
        if size(parts[-1] + character, text) > units:
            parts.append("")
        parts[-1] += character
    return parts


def size(piece: str, text: str) -> int:
    if segments.is_plain(text):
        return len(piece) + sum(piece.count(each) for each in segments.EXTENDED)
    return len(piece.encode("utf-16-be")) // 2


@given(GSM | ANY)
def test_parts_are_counted_as_they_are_cut(text: str) -> None:
    assert segments.parts_of(text) == len(cut(text))


@given(GSM | ANY, st.integers(1, 4))
def test_a_text_is_cut_to_what_is_allowed_and_no_further(text: str, most: int) -> None:
    fitted = segments.fitted(text, most)
    assert segments.parts_of(fitted) <= most
    if fitted != text:
        kept = fitted.removesuffix(segments.MARK)
        assert text.startswith(kept)
        longer = text[: len(kept) + 1] + segments.MARK
        assert segments.parts_of(longer) > most or segments.parts_of(text) <= most


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 151, 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("ц" * 70, 1),
        ("ц" * 71, 2),
        ("\U0001f525" * 35, 1),
        ("\U0001f525" * 36, 2),
        ("a" * 69 + "`", 1),
        ("a" * 70 + "`", 2),
    ],
)
def test_edges(text: str, parts: int) -> None:
    assert segments.parts_of(text) == parts
