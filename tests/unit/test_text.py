"""Text for models and terminals: nothing in it may act."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.core.text import human_bytes, human_seconds, iso, one_line, sanitize


@pytest.mark.parametrize(
    ("attack", "inert"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x9b31mred", "red"),
        ("\x1b]52;c;ZXZpbA==\x07copied", "copied"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1bP+q544e\x1b\\dcs", "dcs"),
        ("\x1b]52;c;never ended", ""),
        ("\x1b]0;never ended\nwhat came after it\n", "\nwhat came after it\n"),
        ("abc\u202edcba\u202c", "abcdcba"),
        ("\u2066isolated\u2069", "isolated"),
        ("hello\U000e0068\U000e0069", "hello"),
        ("zero\u200bwidth\u2060", "zerowidth"),
        ("a\x00b\x08c\x7fd", "abcd"),
        ("10%\r50%\r100%\n", "100%\n"),
        ("dos\r\nlines\r\n", "dos\nlines\n"),
        ("tab\tand\nnewline", "tab\tand\nnewline"),
        ("grün 日本語 😀", "grün 日本語 😀"),
    ],
)
def test_what_acts_is_taken_out_and_what_shows_stays(attack: str, inert: str) -> None:
    assert sanitize(attack) == inert


@given(st.text())
def test_nothing_that_acts_survives_and_cleaning_twice_changes_nothing(text: str) -> None:
    clean = sanitize(text)
    for character in clean:
        assert character in "\t\n" or unicodedata.category(character) not in ("Cc", "Cs")
        assert character not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b"
        assert not 0xE0000 <= ord(character) <= 0xE0FFF
    assert sanitize(clean) == clean


def test_a_long_run_of_escapes_takes_linear_time() -> None:
    assert sanitize("\x1b[" * 200_000 + "\x1b]" * 200_000) == ""
    assert sanitize("\r" * 200_000) == ""


def test_one_line_is_one_line_of_bounded_length() -> None:
    assert one_line("a\n\x1b[31mb\tc") == "a b c"
    assert len(one_line("x" * 10_000, 40)) == 40


def test_figures_read_at_a_glance() -> None:
    assert [human_bytes(n) for n in (0, 999, 14_200, 3_000_000)] == [
        "0 B",
        "999 B",
        "14.2 kB",
        "3.0 MB",
    ]
    spans = [human_seconds(s) for s in (0.012, 3.4, 312, 7380)]
    assert spans == ["12 ms", "3.4 s", "5 min 12 s", "2 h 3 min"]


def test_times_are_utc_with_milliseconds() -> None:
    assert iso(1_700_000_000.1239) == "2023-11-14T22:13:20.123Z"
