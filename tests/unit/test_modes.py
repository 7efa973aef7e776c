"""The modes of a terminal, from output that is cut anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.core.modes import TITLE_WIDTH, TerminalModes
from console_automation.core.sequences import held_bytes, held_text, parse_csi

FACTS = (
    "application_cursor",
    "bracketed_paste",
    "alternate_screen",
    "cursor_visible",
    "origin",
    "autowrap",
    "line_drawing",
    "title",
    "scroll_region",
)
PIECES = (
    *(f"\x1b[?{mode}{on}".encode() for mode in (1, 6, 7, 25, 47, 1047, 1049, 2004) for on in "hl"),
    b"\x1b[?1;25;2004h",
    b"\x1b[4h",
    b"\x1b[4;20l",
    b"\x1b]0;both\x07",
    b"\x1b]2;title\x1b\\",
    b"\x1b]2;cancelled\x18",
    b"\x1b]1;icon\x07",
    b"\x1b]52;c;Zm9v\x07",
    b"\x1bPq\x0estring\x1b\\",
    b"\x1b[22;0;0t",
    b"\x1b[23;2t",
    b"\x1b[2;5r",
    b"\x1b[r",
    b"\x1b[7;3r",
    b"\x1b(0",
    b"\x1b(B",
    b"\x1b)0",
    b"\x0e",
    b"\x0f",
    b"\x1b[!p",
    b"\x1bc",
    b"\x1b[1;31m",
    b"\x1b[>4;2m",
    b"text",
    "日本".encode(),
    b"\r\n",
    b"\x1b",
    b"\x1b[?",
    b"\x1b]0;",
)
OUTPUT = st.lists(st.sampled_from(PIECES) | st.binary(max_size=4)).map(b"".join)


def modes_after(*pieces: bytes) -> TerminalModes:
    modes = TerminalModes()
    for piece in pieces:
        modes.feed(piece)
    return modes


def facts(modes: TerminalModes) -> dict[str, object]:
    return {name: getattr(modes, name) for name in FACTS}


@pytest.mark.parametrize(
    ("fact", "on", "off"),
    [
        ("application_cursor", b"\x1b[?1h", b"\x1b[?1l"),
        ("bracketed_paste", b"\x1b[?2004h", b"\x1b[?2004l"),
        ("alternate_screen", b"\x1b[?47h", b"\x1b[?47l"),
        ("alternate_screen", b"\x1b[?1047h", b"\x1b[?1047l"),
        ("alternate_screen", b"\x1b[?1049h", b"\x1b[?1049l"),
        ("cursor_visible", b"\x1b[?25h", b"\x1b[?25l"),
        ("origin", b"\x1b[?6h", b"\x1b[?6l"),
        ("autowrap", b"\x1b[?7h", b"\x1b[?7l"),
        ("line_drawing", b"\x1b(0", b"\x1b(B"),
        ("line_drawing", b"\x1b)0\x0e", b"\x0f"),
        ("line_drawing", b"\x1b)0\x1b[?2\x0e5h", b"\x1b[\x0fm"),
        ("application_cursor", b"\x1b[?12;1;25h", b"\x1b[?1;12l"),
    ],
)
def test_a_mode_is_on_from_its_sequence_to_the_opposite_one(
    fact: str, on: bytes, off: bytes
) -> None:
    modes = modes_after(b"before" + on + b"after\r\n")
    assert getattr(modes, fact) is True
    modes.feed(b"before" + off + b"after\r\n")
    assert getattr(modes, fact) is False


@pytest.mark.parametrize(
    "other",
    [
        b"\x1b[1h",
        b"\x1b[>1h",
        b"\x1b[?1$p",
        b"\x1b[?1s",
        b"\x1b[?1r",
        b"\x1b[?1\x18h",
        b"\x1bP?1h\x1b\\",
        b"\x1bPq\x0e\x1b\\\x1b)0",
    ],
)
def test_sequences_that_look_alike_change_nothing(other: bytes) -> None:
    assert facts(modes_after(other)) == facts(TerminalModes())


@pytest.mark.parametrize(
    ("printed", "title"),
    [
        (b"\x1b]0;one\x07", "one"),
        (b"\x1b]2;two\x1b\\", "two"),
        ("\x1b]2;日本語\x07".encode(), "日本語"),
        (b"\x1b]2;semi;colon\x07", "semi;colon"),
        (b"\x1b]2;never ended", ""),
        (b"\x1b]2;cancelled\x18", ""),
        (b"\x1b]1;icon\x07", ""),
        (b"\x1b]2;a\tb\n c\x07", "a b c"),
        ("\x1b]2;a\u202eb\U000e0041\x07".encode(), "ab"),
        (b"\x1b]2;\xff\x07", "\ufffd"),
        (b"\x1b]2;one\x07\x1b[22;0;0t\x1b]2;two\x07", "two"),
        (b"\x1b]2;one\x07\x1b[22;0;0t\x1b]2;two\x07\x1b[23;0;0t", "one"),
        (b"\x1b]2;one\x07\x1b[22;2t\x1b]2;two\x07\x1b[23;1t", "two"),
    ],
)
def test_the_title_is_what_was_last_set(printed: bytes, title: str) -> None:
    assert modes_after(printed).title == title


def test_titles_are_bounded_in_length_and_in_number() -> None:
    modes = modes_after(b"\x1b]2;" + b"x" * 100_000 + b"\x07")
    assert len(modes.title) == TITLE_WIDTH
    modes.feed(b"\x1b[22;0;0t" * 1000)
    assert len(modes.preamble()) < 20 * TITLE_WIDTH


def test_an_unfinished_sequence_does_not_grow() -> None:
    modes = TerminalModes()
    for _ in range(1000):
        modes.feed(b"\x1b]2;" + b"x" * 1000)
        modes.feed(b"x" * 1000)
    assert len(modes.preamble()) < 2000
    modes.feed(b"\x07\x1b[?1h")
    assert modes.title.startswith("xxx") and modes.application_cursor


def test_what_is_kept_of_a_sequence_is_bounded() -> None:
    assert len(held_text("\x1b]" + "x" * 10_000)[1]) < 2000
    assert len(held_bytes(b"\x1b[" + b"1" * 10_000)[1]) < 2000
    assert parse_csi("?1;;" + "9" * 100, "h") == ("?h", (1, 0, 9999))
    assert parse_csi("9" * 10_000, "C") == ("", ())
    assert len(parse_csi(";" * 200, "m")[1]) < 50


@pytest.mark.parametrize(
    ("before", "after", "fact"),
    [
        (b"\x1b[?10", b"49h", "alternate_screen"),
        (b"\x1b)", b"0\x0e", "line_drawing"),
        (b"\x1b)0\x0e", b"", "line_drawing"),
        (b"\x0e", b"\x1b)0", "line_drawing"),
        (b"\x1b]2;ti", b"tle\x07", "title"),
    ],
)
def test_a_preamble_goes_on_where_the_output_was_cut(
    before: bytes, after: bytes, fact: str
) -> None:
    late = modes_after(modes_after(before).preamble() + after)
    assert getattr(late, fact)
    assert facts(late) == facts(modes_after(before + after))


def test_a_scroll_region_lasts_until_it_is_reset_or_the_terminal_resized() -> None:
    modes = modes_after(b"\x1b[3;10r")
    assert modes.scroll_region == (3, 10)
    modes.feed(b"\x1b[9;2r")
    assert modes.scroll_region == (3, 10)
    modes.resized()
    assert modes.scroll_region is None
    modes.feed(b"\x1b[5r")
    assert modes.scroll_region == (5, 0)
    modes.feed(b"\x1b[r")
    assert modes.scroll_region is None


EVERYTHING = b"\x1b[?1;6;1049;2004h\x1b[?7;25l\x1b[4;20h\x1b]2;title\x07\x1b[2;9r\x1b(0"


def test_a_full_reset_forgets_everything() -> None:
    modes = modes_after(EVERYTHING, b"\x1bc")
    assert facts(modes) == facts(TerminalModes())
    assert modes.preamble() == b""


def test_a_soft_reset_leaves_screen_and_title_alone() -> None:
    modes = modes_after(EVERYTHING, b"\x1b[!p")
    assert modes.alternate_screen and modes.title == "title" and modes.bracketed_paste
    assert not modes.application_cursor and not modes.origin and not modes.line_drawing
    assert modes.cursor_visible and modes.autowrap and modes.scroll_region is None
    assert b"\x1b[4h" not in modes.preamble()


@given(OUTPUT, st.integers(1, 7))
def test_it_does_not_matter_where_the_output_is_cut(output: bytes, size: int) -> None:
    pieces = [output[at : at + size] for at in range(0, len(output), size)]
    assert facts(modes_after(*pieces)) == facts(modes_after(output))
    assert modes_after(*pieces).preamble() == modes_after(output).preamble()


@given(OUTPUT, OUTPUT)
def test_a_preamble_stands_for_all_that_was_printed_before_it(before: bytes, after: bytes) -> None:
    whole = modes_after(before, after)
    preamble = modes_after(before).preamble()
    late = modes_after(preamble, after)
    assert facts(late) == facts(whole)
    assert late.preamble() == whole.preamble()


@given(st.binary())
def test_modes_of_any_bytes_are_found_without_an_error(output: bytes) -> None:
    modes_after(output).preamble().decode("utf-8", "replace")


SWITCHED = (
    EVERYTHING,
    b"\x1b[?1000;1002;1006h\x1b[?1004h",
    b"\x1b=",
    b"\x1b[5 q",
    b"\x1b[22;0;0t\x1b]2;of vim\x07",
    b"\x1b[2;9r",
    b"\x1b)0\x0e",
    b"\x1b]2;never ended",
    b"\x1b[?1049h\x1b[?25l\x1b[2",
)


@pytest.mark.parametrize("printed", SWITCHED)
def test_a_preamble_has_every_mode_and_undoing_them_leaves_none(printed: bytes) -> None:
    before = modes_after(b"\x1b]2;mine\x07\x1b[22;2t")
    before.feed(printed)
    late = modes_after(before.preamble())
    assert late.preamble() == before.preamble()
    late.feed(late.undo())
    assert facts(late) == {**facts(TerminalModes()), "title": late.title}
    assert late.preamble() in (b"", f"\x1b]2;{late.title}\x1b\\".encode())


@given(OUTPUT)
def test_whatever_was_printed_can_be_undone(output: bytes) -> None:
    modes = modes_after(output)
    modes.feed(modes.undo())
    assert facts(modes) == {**facts(TerminalModes()), "title": modes.title}


def test_a_title_that_was_put_by_comes_back() -> None:
    modes = modes_after(b"\x1b]2;mine\x07\x1b[22;2t\x1b]2;of vim\x07")
    modes.feed(modes.undo())
    assert modes.title == "mine"
