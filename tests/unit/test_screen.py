"""What a person would see: the screen after any output."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcwidth

from console_automation.adapters.screen import TerminalScreen
from console_automation.core.modes import TerminalModes
from console_automation.core.screen import ScreenSnapshot
from console_automation.core.text import sanitize

COLS, ROWS = 10, 4


def snapshot(*output: str | bytes, cols: int = COLS, rows: int = ROWS) -> ScreenSnapshot:
    screen = TerminalScreen(cols, rows)
    for piece in output:
        screen.feed(piece.encode() if isinstance(piece, str) else piece)
    return screen.snapshot()


def shown(*output: str | bytes, cols: int = COLS, rows: int = ROWS) -> list[str]:
    """Return the rows without the blank ones at the end."""
    lines = list(snapshot(*output, cols=cols, rows=rows).lines)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def cursor(*output: str | bytes) -> tuple[int, int]:
    seen = snapshot(*output)
    return seen.cursor_column, seen.cursor_row


def test_a_fresh_screen_is_blank() -> None:
    assert snapshot() == ScreenSnapshot(
        lines=("",) * ROWS,
        cursor_column=0,
        cursor_row=0,
        cursor_visible=True,
        cols=COLS,
        rows=ROWS,
        title="",
        alternate=False,
    )


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        ("one\r\ntwo", ["one", "two"]),
        ("one\ntwo", ["one", "   two"]),
        ("10%\r50%\r100%", ["100%"]),
        ("abcdef\x1b[3D\x1b[K", ["abc"]),
        ("abcdef\x1b[3D\x1b[1K", ["    ef"]),
        ("abcdef\x1b[2K", []),
        ("a\r\nb\r\nc\x1b[2;1H\x1b[J", ["a"]),
        ("a\r\nb\r\nc\x1b[2;1H\x1b[1J", ["", "", "c"]),
        ("a\r\nb\x1b[2J", []),
        ("a\r\nb\x1b[3J", ["a", "b"]),
        ("abcdef\x1b[2G\x1b[2X", ["a  def"]),
        ("abcdef\x1b[2G\x1b[2P", ["adef"]),
        ("abcdef\x1b[2G\x1b[2@", ["a  bcdef"]),
        ("abcdefghij\x1b[2G\x1b[3@", ["a   bcdefg"]),
        ("a\r\nb\r\nc\x1b[2;1H\x1b[L", ["a", "", "b", "c"]),
        ("a\r\nb\r\nc\x1b[2;1H\x1b[M", ["a", "c"]),
        ("a\r\n\r\nc\x1b[1;1H\x1b[M", ["", "c"]),
        ("a\r\nb\r\nc\r\nd\x1b[2S", ["c", "d"]),
        ("a\r\nb\r\nc\r\nd\x1b[2T", ["", "", "a", "b"]),
        ("a\x1b[1;2;3;4;5T", ["a"]),
        ("a\r\nb\r\nc\r\nd\r\ne", ["b", "c", "d", "e"]),
        ("a\r\nb\x1b[H\x1bM\x1bM", ["", "", "a", "b"]),
        ("a\x1bDb", ["a", " b"]),
        ("a\x1bEb", ["a", "b"]),
        ("ab\x1b[4b", ["abbbbb"]),
        ("ab\x1b[99bc", ["abbbbbbbbb", "c"]),
        ("abcdefghij\x1b[99b", ["abcdefghij", "jjjjjjjjjj"]),
        ("abcd\x1b[4h\x1b[2Gx\x1b[2b", ["axxxbcd"]),
        ("e\u0301\x1b[9999b", ["e" + "\u0301" * 8]),
        ("\x1b[4b", []),
        ("a\tb", ["a       b"]),
        ("a\t\x1b[Zb", ["b"]),
        ("a\x1b[Ib", ["a       b"]),
        ("a\x1b[9999Ib\x1b[9999Zc", ["c        b"]),
        ("\x1b[3G\x1bH\x1b[6G\x1bH\x1b[3G\x1b[g\r\tx", ["     x"]),
        ("\x1b[3g\x1b[4G\x1bH\r\tx", ["   x"]),
        ("abc\x1b[4h\x1b[1Gxy", ["xyabc"]),
        ("abc\x1b[4hz\x1b[4l\x1b[1Gxy", ["xycz"]),
        ("a\x1b[20hb\nc", ["ab", "c"]),
        ("\x1b(0lqk\x1b(Bq", ["┌─┐q"]),
        ("\x1b(0x +,-.0", ["│ +,-.0"]),
        ("\x1b)0q\x0eq\x0fq", ["q─q"]),
        ("q\x0eq", ["qq"]),
        ("\x1b#8\x1b[2;1H\x1b[J", ["EEEEEEEEEE"]),
        ("\x1b#8\x1b[Hx\x1b[3;1H\x1b[J", ["xEEEEEEEEE", "EEEEEEEEEE"]),
        (
            "\x1b#8\x1b[H\x1b[2P\x1b[2;1H\x1b[2@\x1b[3;1H\x1b[9X\x1b[4;2H\x1b[K",
            ["EEEEEEEE", "  EEEEEEEE", "         E", "E"],
        ),
        ("\x1b#8\x1b[H\x1b[L\x1b[9999M\x1b#8\x1b[9999S", []),
        ("abcdefghijk", ["abcdefghij", "k"]),
        ("\x1b[?7labcdefghijk", ["abcdefghik"]),
        ("abc\x7fd", ["abcd"]),
        ("\x1b[?3labc", ["abc"]),
    ],
)
def test_sequences_draw_what_xterm_draws(output: str, lines: list[str]) -> None:
    assert shown(output) == lines


@pytest.mark.parametrize(
    "silent",
    [
        "\x1b[31m",
        "\x1b[38;5;200m",
        "\x1b[38:2::1:2:3m",
        "\x1b[?4m",
        "\x1b[>4;2m",
        "\x1b[>4;?m",
        "\x1b[?u",
        "\x1b[>1u",
        "\x1b[=1;1u",
        "\x1b[<u",
        "\x1b[?1;1H",
        "\x1b[?5r",
        "\x1b[?5S",
        "\x1b[12$p",
        "\x1b[?12$p",
        "\x1b[2 q",
        "\x1b[0%m",
        "\x1b[1'G",
        "\x1b[c",
        "\x1b[>c",
        "\x1b[6n",
        "\x1b[14t",
        "\x1b[" + "9" * 5000 + "m",
        "\x1b[" + "1;" * 5000 + "m",
        "\x1bP+q544e\x1b\\",
        "\x1bP$qm\x1b\\",
        "\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\",
        "\x1b_Gi=1;AAAA\x1b\\",
        "\x1b^private\x1b\\",
        "\x1bXstring\x1b\\",
        "\x1b]8;;http://example.org\x1b\\",
        "\x1b]52;c;eA==\x07",
        "\x1b]133;A\x07",
        "\x1b]133;D;0\x1b\\",
        "\x1b]11;?\x07",
        "\x1b]R",
        "\x1b]104\x07",
        "\x1b=",
        "\x1b>",
        "\x1b%G",
        "\x1b F",
        "\x1b(B",
        "\x1b\x1b[m",
        "\x07",
        "\x00",
    ],
)
def test_what_draws_nothing_shows_nothing_and_stays_silent(silent: str) -> None:
    end = "\x1b\\" if silent == "\x1b]R" else ""
    assert shown(f"ab{silent}{end}cd") == ["abcd"]


@pytest.mark.parametrize(
    ("output", "position"),
    [
        ("\x1b[2;3H", (2, 1)),
        ("\x1b[;3f", (2, 0)),
        ("\x1b[99;99H", (9, 3)),
        ("\x1b[3d\x1b[4G", (3, 2)),
        ("\x1b[3;3H\x1b[A\x1b[2C\x1b[B\x1b[D", (3, 2)),
        ("\x1b[3;3H\x1b[F", (0, 1)),
        ("\x1b[3;3H\x1b[E", (0, 3)),
        ("\x1b[2;3H\x1b7\x1b[H\x1b8", (2, 1)),
        ("\x1b[2;3H\x1b[s\x1b[H\x1b[u", (2, 1)),
        ("\x1b[2;3H\x1b8", (0, 0)),
        ("\x1b7\x1b[2;3H\x1b7\x1b8\x1b[H\x1b8", (2, 1)),
        ("\x1b7\x1b[2;3r\x1b[?6h\x1b8\x1b[H", (0, 0)),
        ("\x1b[2;3H\x1b7\x1b[!p\x1b8", (0, 0)),
        ("\x1b[2;3H\x1b[4;2r", (2, 1)),
        ("abcdefghij", (9, 0)),
        ("abcdefghij\b", (8, 0)),
        ("abcdefghij\x1b[A\r\n", (0, 1)),
        ("abc\x1b[1\n2D", (0, 1)),
        ("日本", (4, 0)),
        ("e\u0301", (1, 0)),
    ],
)
def test_the_cursor_is_where_xterm_has_it(output: str, position: tuple[int, int]) -> None:
    assert cursor(output) == position


def test_a_scroll_region_scrolls_alone() -> None:
    lines = "a\r\nb\r\nc\r\nd\x1b[2;3r"
    assert cursor(lines) == (0, 0)
    assert shown(lines, "\x1b[3;1H\n") == ["a", "c", "", "d"]
    assert shown(lines, "\x1b[2;1H\x1bM") == ["a", "", "b", "d"]
    assert shown(lines, "\x1b[2;1H\x1b[L") == ["a", "", "b", "d"]
    assert shown(lines, "\x1b[1;1H\x1b[L") == ["a", "b", "c", "d"]
    assert shown(lines, "\x1b[S") == ["a", "c", "", "d"]
    assert shown(lines, "\x1b[4;1H\n\nx") == ["a", "b", "c", "x"]


def test_the_cursor_outside_of_a_scroll_region_is_not_drawn_into_it() -> None:
    assert cursor("\x1b[3;4r\x1b[2;1H\x1b[A") == (0, 0)
    assert cursor("\x1b[1;2r\x1b[3;1H\x1b[9B") == (0, 3)
    assert cursor("\x1b[1;2r\x1b[3;1H\n") == (0, 3)


def test_in_origin_mode_rows_count_from_the_region() -> None:
    assert cursor("\x1b[2;3r\x1b[?6h") == (0, 1)
    assert cursor("\x1b[2;3r\x1b[?6h\x1b[9;1H") == (0, 2)
    assert cursor("\x1b[?6h\x1b[2d") == (0, 1)
    assert cursor("\x1b[2;3r\x1b[?6h\x1b[?6l\x1b[4;1H") == (0, 3)


@pytest.mark.parametrize("erase", ["\x1b[K", "\x1b[J", "\x1b[X"])
def test_a_full_row_keeps_its_last_column_when_the_rest_is_erased(erase: str) -> None:
    assert shown(f"abcdefghij{erase}") == ["abcdefghij"]
    assert shown(f"abcdefghij{erase}k") == ["abcdefghij", "k"]


def test_colours_do_not_hold_up_the_next_row() -> None:
    assert shown("abcdefghij\x1b[mk") == ["abcdefghij", "k"]


# Characters that are not one column wide


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        ("日本語", ["日本語"]),
        ("a😀b", ["a😀b"]),
        ("123456789日", ["123456789", "日"]),
        ("\x1b[?7l123456789日", ["12345678日"]),
        ("日本\x1b[1Gx", ["x 本"]),
        ("日本\x1b[2Gx", [" x本"]),
        ("日本\x1b[2G語", [" 語"]),
        ("日本x\x1b[2G語", [" 語 x"]),
        ("日\u3099本\x1b[1Gx", ["x 本"]),
        ("日本\x1b[2G\x1b[K", []),
        ("日本x\x1b[4G\x1b[K", ["日"]),
        ("日本x\x1b[2G\x1b[P", [" 本x"]),
        ("日本x\x1b[P", ["日本x"]),
        ("日本x\x1b[1G\x1b[P", [" 本x"]),
        ("日本x\x1b[2G\x1b[@", ["   本x"]),
        ("12345678日\x1b[1G\x1b[@", [" 12345678"]),
        ("日本x\x1b[3G\x1b[X", ["日  x"]),
        ("日\x1b[2b", ["日日日"]),
        ("\x1b[4h日\x1b[1G本", ["本日"]),
    ],
)
def test_a_wide_character_shows_whole_or_not_at_all(output: str, lines: list[str]) -> None:
    assert shown(output) == lines


def test_a_wide_character_on_a_screen_of_one_column_does_no_harm() -> None:
    assert snapshot("日x", cols=1, rows=2).lines == ("日", "x")


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("cafe\u0301!", "cafe\u0301!"),
        ("日\u3099本", "日\u3099本"),
        ("123456789e\u0301", "123456789e\u0301"),
        ("\u1112\u1161\u11ab!", "\u1112\u1161\u11ab!"),
        ("❤\ufe0f!", "❤\ufe0f!"),
        ("👩\u200d💻!", "👩💻!"),
        ("\u0301a", "a"),
        ("e\u0301\x1b[1Gx", "x"),
        ("a\u202eb\u200bc\U000e0041d", "abcd"),
        ("a\u115fb", "a  b"),
        ("a\x9bb\u0085c", "abc"),
    ],
)
def test_marks_stay_with_what_they_mark_and_take_no_column(output: str, line: str) -> None:
    assert shown(output) == [line]


def test_marks_without_end_are_not_kept() -> None:
    assert len(shown("e" + "\u0301" * 10_000 + "!")[0]) < 20
    assert shown("e" + "\u200d" * 100 + "\u0301") == ["e\u0301"]


def test_characters_cut_in_two_are_put_together() -> None:
    data = "日本😀".encode()
    pieces = [data[at : at + 1] for at in range(len(data))]
    assert shown(*pieces) == ["日本😀"]
    assert shown(b"a\xff\xe6b") == ["a\ufffd\ufffdb"]


# The alternate screen


@pytest.mark.parametrize("mode", [47, 1047, 1049])
def test_the_main_screen_comes_back_as_it_was(mode: int) -> None:
    screen = TerminalScreen(COLS, ROWS)
    screen.feed(f"main\r\n$ \x1b[?{mode}h".encode())
    assert screen.snapshot().alternate
    screen.feed(b"\x1b[2J\x1b[Hfull\r\nscreen")
    assert screen.snapshot().lines[:2] == ("full", "screen")
    screen.feed(f"\x1b[?{mode}l".encode())
    after = screen.snapshot()
    assert not after.alternate
    assert after.lines == ("main", "$", "", "")
    assert (after.cursor_column, after.cursor_row) == ((2, 1) if mode == 1049 else (6, 1))


def test_the_alternate_screen_is_blank_each_time_with_1049_and_kept_with_47() -> None:
    assert shown("\x1b[?1049hfull\x1b[?1049l\x1b[?1049h") == []
    assert shown("\x1b[?1047hfull\x1b[?1047l\x1b[?1047h") == []
    assert shown("\x1b[?47hfull\x1b[?47l\x1b[?47h") == ["full"]


def test_each_screen_has_a_saved_cursor_of_its_own() -> None:
    output = "\x1b[2;2H\x1b[?1049h\x1b[3;3H\x1b7\x1b[?1049l"
    assert cursor(output) == (1, 1)


def test_going_twice_to_the_alternate_screen_loses_nothing() -> None:
    assert shown("main\x1b[?1049h\x1b[?1049hfull\x1b[?1049l") == ["main"]


def test_a_full_reset_leaves_a_fresh_screen() -> None:
    output = "main\x1b[?1049hfull\x1b[?25l\x1b[2;3r\x1b[4h\x1b(0\x1b]2;title\x07\x1bc"
    assert snapshot(output) == snapshot()
    assert shown(output, "\x1b[?1049l") == []


def test_a_soft_reset_leaves_the_text() -> None:
    output = "a\x1b[?25l\x1b[2;3r\x1b[?6h\x1b[4h\x1b(0\x1b[!p"
    seen = snapshot(output, "\x1b[4;1Hq\rx")
    assert seen.lines == ("a", "", "", "x")
    assert seen.cursor_visible


# Title, cursor, size


def test_title_and_cursor_are_told() -> None:
    seen = snapshot("\x1b]2;my \u202etitle\x07\x1b[?25l")
    assert seen.title == "my title"
    assert not seen.cursor_visible
    assert snapshot("\x1b[?25l\x1b[?25h").cursor_visible


def test_a_smaller_screen_keeps_the_row_with_the_cursor() -> None:
    screen = TerminalScreen(COLS, ROWS)
    screen.feed(b"a\r\nb\r\nc\r\nd")
    screen.resize(COLS, 2)
    seen = screen.snapshot()
    assert seen.lines == ("c", "d")
    assert (seen.cursor_row, seen.rows) == (1, 2)


def test_a_smaller_screen_loses_what_is_below_the_cursor_first() -> None:
    screen = TerminalScreen(COLS, ROWS)
    screen.feed(b"a\r\nb\r\nc\r\nd\x1b[H")
    screen.resize(COLS, 2)
    assert screen.snapshot().lines == ("a", "b")


def test_a_narrower_screen_cuts_its_rows_and_no_character_in_two() -> None:
    screen = TerminalScreen(COLS, ROWS)
    screen.feed("12345日\r\n123456789".encode())
    screen.resize(6, ROWS)
    assert screen.snapshot().lines[:2] == ("12345", "123456")
    screen.resize(COLS, ROWS)
    assert screen.snapshot().lines[:2] == ("12345", "123456")


def test_a_resized_screen_scrolls_as_a_whole_and_has_all_its_tabs() -> None:
    screen = TerminalScreen(COLS, ROWS)
    screen.feed(b"\x1b[1;2ra\r\nb\r\n")
    screen.resize(30, 3)
    screen.feed(b"\x1b[3;1Hc\r\nd\ta\tb\tc")
    assert screen.snapshot().lines == ("", "c", "d       a       b       c")


def test_the_main_screen_is_resized_behind_the_alternate_one() -> None:
    screen = TerminalScreen(COLS, ROWS)
    screen.feed(b"a\r\nb\r\nc\r\n$ \x1b[?1049h")
    screen.resize(5, 2)
    screen.feed(b"\x1b[?1049l")
    seen = screen.snapshot()
    assert seen.lines == ("c", "$")
    assert (seen.cursor_column, seen.cursor_row) == (2, 1)


def test_the_prompt_behind_the_alternate_screen_is_found_again_after_two_resizes() -> None:
    screen = TerminalScreen(COLS, ROWS)
    screen.feed(b"a\r\nb\r\nc\r\n$ \x1b[?1049h")
    screen.resize(COLS, 2)
    screen.resize(COLS, ROWS)
    screen.feed(b"\x1b[?1049l!")
    assert screen.snapshot().lines == ("c", "$ !", "", "")


# What output costs

WIDE_SCREEN = 500
FLOODS = [
    "x\x1b[9999b",
    "日\x1b[9999b",
    "\x1b#8",
    "\x1b#8x",
    "\x1b#8\x1b[2J",
    "\x1b[9999L",
    "\x1b[9999M",
    "\x1b[9999S",
    "\x1b[9999T",
    "\x1b[9999@",
    "\x1b[9999P",
    "\x1b[9999X",
    "\x1b[@",
    "\x1b[P",
    "\x1b[K",
    "\x1b[1K",
    "\x1b[J",
    "\x1b[1J",
    "\x1b[2J",
    "\r\x1b[9999I",
    "\x1b[9999Z",
    "\r\t",
    "\n",
    "\x1bM",
    "\x1bc",
    "\x1b7\x1b8",
    "\x1b[4hx",
    "\x1b[?7lx",
    "\x1b[?1049h\x1b[?1049l",
    "\x1b[2;9r\x1b[9;1H\n",
]


def steps(screen: TerminalScreen, output: str) -> int:
    """Return how many lines of code and calls it takes to draw this."""
    taken = 0

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any]:
        nonlocal taken
        taken += 1
        frame.f_trace_opcodes = True  # a loop on one line is as long as it runs
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        screen.feed(output.encode())
    finally:
        sys.settrace(before)
    return taken


@pytest.mark.parametrize("flood", FLOODS)
def test_what_a_few_bytes_cost_does_not_grow_with_the_screen(flood: str) -> None:
    small, big = TerminalScreen(COLS, ROWS), TerminalScreen(WIDE_SCREEN, 300)
    for screen in (small, big):
        screen.feed(b"\x1bH\x1b[C" * WIDE_SCREEN + b"\x1b#8\x1b[3;3H")
        screen.feed(flood.encode())  # what is kept for the next time, is kept now
    assert steps(big, flood * 5) < 4 * steps(small, flood * 5)


@pytest.mark.parametrize("cols", [1, COLS])
def test_a_long_text_costs_as_much_a_character_as_a_short_one(cols: int) -> None:
    screen = TerminalScreen(cols, ROWS)
    screen.feed(b"x" * cols)
    assert steps(screen, "x" * 1000) < 11 * steps(screen, "x" * 100)


# Anything at all

SEQUENCES = st.builds(
    "\x1b{}{}{}".format,
    st.sampled_from(["[", "[?", "[>", "]", "P", "_", "(", "#", ""]),
    st.lists(st.integers(0, 12) | st.sampled_from([25, 47, 1047, 1049, 10**9])).map(
        lambda numbers: ";".join(map(str, numbers))
    ),
    st.sampled_from("@ABCDEFGHIJKLMPSTXZ`abcdefghlmnpqrstu78c\\\x07\x18\n$! "),
).map(str.encode)
TEXT = st.text(alphabet="ab 日😀é\u0301\u200d\u115f\t\r\n\b\x0e\x0f\x1b", max_size=12).map(
    str.encode
)
OUTPUT = st.lists(SEQUENCES | TEXT | st.binary(max_size=6)).map(b"".join)


def check(seen: ScreenSnapshot) -> None:
    assert len(seen.lines) == seen.rows
    assert 0 <= seen.cursor_column < seen.cols
    assert 0 <= seen.cursor_row < seen.rows
    for line in (*seen.lines, seen.title):
        assert sanitize(line) == line
        assert "\n" not in line and "\t" not in line


@given(OUTPUT, st.integers(1, 12), st.integers(1, 6))
def test_no_output_raises_or_shows_what_acts(output: bytes, cols: int, rows: int) -> None:
    screen = TerminalScreen(cols, rows)
    screen.feed(output)
    check(screen.snapshot())
    screen.resize(rows, cols)
    check(screen.snapshot())
    screen.feed(output)
    check(screen.snapshot())


@given(OUTPUT, st.integers(1, 7))
def test_it_does_not_matter_where_the_output_is_cut(output: bytes, size: int) -> None:
    pieces = [output[at : at + size] for at in range(0, len(output), size)]
    assert snapshot(*pieces) == snapshot(output)


@given(OUTPUT)
def test_every_row_takes_as_many_columns_as_the_screen_has_at_most(output: bytes) -> None:
    for line in snapshot(output).lines:
        assert sum(wcwidth(each) for each in line) <= COLS


@given(OUTPUT)
def test_modes_and_a_tail_that_draws_all_anew_are_as_good_as_everything(before: bytes) -> None:
    modes = TerminalModes()
    modes.feed(before)
    tail = "\x18\x1b[!p\x1b[2J\x1b[Htext"
    assert snapshot(modes.preamble(), tail) == snapshot(before, tail)
