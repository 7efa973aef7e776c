"""What of a session's output gets to the terminal of somebody who attaches to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.adapters.screen import TerminalScreen
from console_automation.core.replay import drawing, passing

DRAWS = [
    b"text \r\n\t\b",
    "日本語".encode(),
    b"\x1b[2J\x1b[H\x1b[K",
    b"\x1b[1;31m\x1b[38:2::1:2:3mred\x1b[m",
    b"\x1b[?1049h\x1b[?25l\x1b[4h\x1b[2;5r",
    b"\x1b[2 q",
    b"\x1b]2;title\x07",
    b"\x1b]0;title\x1b\\",
    b"\x1b[22;0;0t\x1b[23;0;0t",
    b"\x1b(0\x1b7\x1b8\x1bM\x1bD",
    b"\xff\x00",
]
ACTS = [
    b"\x1b[c",
    b"\x1b[0c",
    b"\x1b[>c",
    b"\x1b[5n",
    b"\x1b[6n",
    b"\x1b[?6n",
    b"\x1b[?1$p",
    b"\x1b[>q",
    b"\x1b[>0q",
    b"\x1b[?u",
    b"\x1b[>1u",
    b"\x1b[>4;2m",
    b"\x1b[?4m",
    b"\x1b[18t",
    b"\x1b[8;24;80t",
    b"\x1b[21t",
    b"\x1b[3J",
    b"\x1b[5i",
    b"\x1bZ",
    b"\x05",
    b"\x07",
    b"\x1b]11;?\x07",
    b"\x1b]52;c;aGk=\x1b\\",
    b"\x1b]9;notify\x07",
    b"\x1b]133;C\x07",
    b"\x1bP$qm\x1b\\",
    b"\x1bP+q544e\x1b\\",
    b"\x1b_Ga=q\x1b\\",
]


@pytest.mark.parametrize("output", DRAWS)
def test_what_draws_is_shown_again(output: bytes) -> None:
    assert drawing(output) == output


@pytest.mark.parametrize("output", ACTS)
def test_what_does_something_is_not_done_again(output: bytes) -> None:
    assert drawing(b"before" + output + b"after") == b"before\x18after"


def test_nothing_is_made_of_what_stood_around_it() -> None:
    assert b"\x1b]52" not in drawing(b"\x1b\x07]52;c;aGk=\x07")


@given(st.lists(st.sampled_from(DRAWS + ACTS) | st.binary(max_size=4)).map(b"".join))
def test_the_screen_is_the_same_without_what_does_not_draw(output: bytes) -> None:
    whole, again = TerminalScreen(40, 6), TerminalScreen(40, 6)
    whole.feed(output)
    again.feed(drawing(output))
    assert again.snapshot() == whole.snapshot()


@pytest.mark.parametrize(
    "question",
    [b"\x1b[c", b"\x1b[0c", b"\x1b[5n", b"\x1b[?u", b"\x1b[>1u", b"\x1b[<u", b"\x1b[>4;1m"],
)
def test_what_is_answered_already_is_not_asked_of_the_terminal(question: bytes) -> None:
    printed = b"before" + question + b"after"
    assert passing(printed) == (b"beforeafter", b"")
    for cut in range(len(printed)):
        first, begun = passing(printed[:cut])
        assert (first + passing(begun + printed[cut:])[0]) == b"beforeafter"


@pytest.mark.parametrize("output", [*DRAWS, b"\x07", b"\x1b[6n", b"\x1b[>c", b"\x1b]52;c;aGk=\x07"])
def test_all_else_is_passed_on_as_it_is(output: bytes) -> None:
    assert passing(output) == (output, b"")
    pieces, begun = [], b""
    for byte in output:
        piece, begun = passing(begun + bytes([byte]))
        pieces.append(piece)
    assert b"".join(pieces) + begun == output


def test_what_never_ends_is_not_held_back_for_ever() -> None:
    assert passing(b"\x1b[" + b"1" * 1000) == (b"\x1b[" + b"1" * 1000, b"")
    assert passing(b"\x1b]52;c;" + b"a" * 9000) == (b"\x1b]52;c;" + b"a" * 9000, b"")
