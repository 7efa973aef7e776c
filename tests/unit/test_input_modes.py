"""The modes that change what typing sends, as output switches them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.core.input_modes import InputModes
from console_automation.core.modes import TerminalModes

PIECES = (
    b"\x1b[?1h",
    b"\x1b[?1l",
    b"\x1b[?2004h",
    b"\x1b[?2004l",
    b"\x1b[?1049h",
    b"\x1b[?1049l",
    b"\x1b[?47h",
    b"\x1b[?47l",
    b"\x1b[?1047h",
    b"\x1b[?1047l",
    b"\x1bc",
    b"\x1b[!p",
    b"\x1b[?25h",
    b"text",
    b"\x1b[31m",
)


def of(modes: InputModes | TerminalModes) -> tuple[bool, bool, bool]:
    return (modes.application_cursor, modes.bracketed_paste, modes.alternate_screen)


@given(st.lists(st.lists(st.sampled_from(PIECES))))
def test_they_are_those_of_the_whole_terminal(pieces: list[list[bytes]]) -> None:
    quick, whole = InputModes(), TerminalModes()
    for piece in pieces:
        quick.feed(b"".join(piece))
        whole.feed(b"".join(piece))
        assert of(quick) == of(whole)


@given(st.binary())
def test_any_bytes_are_taken(data: bytes) -> None:
    InputModes().feed(data)


@pytest.mark.parametrize("printed", [b"", b"plain", b"\x1b[m"])
def test_a_terminal_begins_with_all_of_them_off(printed: bytes) -> None:
    modes = InputModes()
    modes.feed(printed)
    assert of(modes) == (False, False, False)
