"""Real full-screen programs on a real terminal: the screen shows what a person would see."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from console_automation.adapters.screen import TerminalScreen
from console_automation.core.keys import paste
from tests.integration.terminals import COLS, ROWS, Console, running
from tests.waiting import until_now

ACCENTED = "cafe\u0301 nai\u0308ve"
WIDE = "日本語 and 😀 end"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Console]:
    with running("sh", "-i", directory=tmp_path) as console:
        console.until_cursor(2, 0)
        yield console


def open_vim(shell: Console, name: str) -> None:
    shell.type(f"vim -u NONE -N -n {name}\r")
    shell.until(f'"{name}"', row=ROWS - 1)


def test_vim_is_shown_as_it_is_and_leaves_the_screen_as_it_was(
    shell: Console, tmp_path: Path
) -> None:
    (tmp_path / "poem").write_text("roses are red\nviolets are blue\n")
    shell.type("echo before\r")
    shell.until("before", row=1)
    open_vim(shell, "poem")
    seen = shell.until("roses are red", "violets are blue")
    assert seen.alternate and seen.cursor_visible
    assert seen.lines[:3] == ("roses are red", "violets are blue", "~")
    shell.until_cursor(0, 0)

    shell.press("down", "end")
    shell.until_cursor(len("violets are blue") - 1, 1)
    shell.type("o")
    shell.until("-- INSERT --", row=ROWS - 1)
    shell.type("sugar is sweet")
    shell.until("sugar is sweet", row=2)
    shell.press("escape")
    shell.type(":wq\r")

    shell.until_left()
    shell.until_cursor(2, 3)  # the shell is back at its prompt
    shell.type("echo after\r")
    after = shell.until("after\n$")
    assert not after.alternate
    assert after.lines[:5] == (
        "$ echo before",
        "before",
        "$ vim -u NONE -N -n poem",
        "$ echo after",
        "after",
    )
    assert (tmp_path / "poem").read_text().splitlines()[2] == "sugar is sweet"


def test_vim_sets_the_title_and_gives_it_back(shell: Console, tmp_path: Path) -> None:
    shell.type("printf '\\033]2;my shell\\007'\r")
    until_now(lambda: shell.seen().title == "my shell", "the title of the shell")
    open_vim(shell, "poem")
    shell.type(":set title titlestring=editing\\ %t\r")
    until_now(lambda: shell.seen().title == "editing poem", "the title of vim")
    shell.type(":q!\r")
    shell.until_left()
    until_now(lambda: shell.seen().title == "my shell", "the title of the shell again")


def test_vim_shows_wide_characters_and_combining_marks(shell: Console, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(f"{WIDE}\n{ACCENTED}\nplain\n", encoding="utf-8")
    open_vim(shell, "text")
    seen = shell.until("plain")
    assert seen.lines[:3] == (WIDE, ACCENTED, "plain")
    shell.type("$")
    shell.until_cursor(16, 0)  # four characters of the text are two columns wide
    shell.type("0x")
    until_now(
        lambda: shell.seen().lines[0] == WIDE[1:], "the first row without its first character"
    )
    shell.type("2G0A!")
    seen = shell.until(f"{ACCENTED}!")
    assert (seen.cursor_column, seen.cursor_row) == (len("cafe naive!"), 1)


def test_vim_takes_a_paste_as_one(shell: Console, tmp_path: Path) -> None:
    open_vim(shell, "text")
    shell.type(":set autoindent\r")
    shell.type("i")
    shell.until("-- INSERT --")
    until_now(lambda: shell.seen() and shell.modes.bracketed_paste, "bracketed paste")
    shell.type(paste("if x:\n    one\n    two\n", bracketed=True))
    seen = shell.until("    two")
    assert seen.lines[:3] == ("if x:", "    one", "    two")  # typed, the indent would grow


def test_vim_is_drawn_from_its_modes_and_the_tail_of_its_output(
    shell: Console, tmp_path: Path
) -> None:
    (tmp_path / "long").write_text("".join(f"row {number}\n" for number in range(5000)))
    open_vim(shell, "long")
    shell.until("row 1")
    before = shell.modes.preamble()
    cut = len(shell.printed)
    shell.type("4000G")
    shell.until("row 3999")
    shell.press("ctrl+l")
    shell.type(":echo 'drawn'\r")
    whole = shell.until("drawn", row=ROWS - 1)
    late = TerminalScreen(COLS, ROWS)
    late.feed(before + shell.printed[cut:])
    assert late.snapshot() == whole


def test_less_pages_searches_and_leaves(shell: Console, tmp_path: Path) -> None:
    (tmp_path / "long").write_text("".join(f"row {number}\n" for number in range(1, 101)))
    shell.type("less long\r")
    seen = shell.until("row 11", "long")
    assert seen.alternate
    assert seen.lines[0] == "row 1"
    shell.press("pagedown")
    shell.until("row 12", row=0)
    shell.press("up")
    shell.until("row 11", row=0)
    shell.type("/row 50\r")
    shell.until("row 50", row=0)
    shell.press("end")
    assert shell.until("row 100").lines[ROWS - 2] == "row 100"
    shell.type("q")
    after = shell.until_left()
    assert after.lines[0] == "$ less long"
    assert "row 100" not in after.lines


def test_top_shows_its_table_and_draws_over_it(tmp_path: Path) -> None:
    with running("top", "-d", "0.1", directory=tmp_path) as top:
        seen = top.until("load average", "PID USER", "COMMAND")
        assert seen.lines[0].startswith("top - ")
        first = len(top.printed)
        until_now(lambda: top.seen() and len(top.printed) > first + 2000, "more rounds")
        seen = top.until("load average", "PID USER", "COMMAND")
        assert sum("load average" in line for line in seen.lines) == 1
        assert sum("COMMAND" in line for line in seen.lines) == 1
        top.type("q")
        until_now(lambda: top.seen() and not top.child.isalive(), "the end of top")
        assert top.seen().cursor_visible


def test_a_progress_bar_shows_its_last_state(shell: Console) -> None:
    bar = "for n in 10 45 100; do printf '\\r[%-10s] %s%%' '###' $n; done; echo"
    shell.type(f"clear; {bar}; echo done\r")
    seen = shell.until("done\n$")
    assert seen.lines[:3] == ("[###       ] 100%", "done", "$")


def test_cat_shows_wide_characters_and_combining_marks(shell: Console, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(f"{WIDE}\n{ACCENTED}\n{'日' * 50}\n", encoding="utf-8")
    shell.type("clear; cat text\r")
    seen = shell.until("日\n$")
    assert seen.lines[:4] == (WIDE, ACCENTED, "日" * 40, "日" * 10)
    assert (seen.cursor_column, seen.cursor_row) == (2, 4)


def test_what_a_binary_file_does_to_the_terminal_is_undone_by_a_reset(shell: Console) -> None:
    shell.type("printf '\\033)0\\016\\033[?25l\\033[2;3r\\033[?1049h\\033[4h'; printf '\\033c'\r")
    shell.type("echo sound\r")
    seen = shell.until("sound\n$")
    assert seen.cursor_visible and not seen.alternate
