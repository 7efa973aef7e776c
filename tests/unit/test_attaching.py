"""Attaching: which session is meant, which key detaches, how keys are passed on, what is one command's."""

import sys
import threading
from argparse import ArgumentTypeError
from binascii import a2b_base64
from collections.abc import Iterator
from typing import Any

import pytest

if sys.platform == "win32":
    pytest.skip("the command line needs POSIX", allow_module_level=True)

from console_automation.frontends.cli import outcome, typist
from console_automation.frontends.cli.arguments import ambiguous, sessions_meant
from console_automation.frontends.cli.commands.attach import control_key
from console_automation.frontends.cli.executing import _Part
from console_automation.frontends.cli.typist import Typist
from console_automation.frontends.client import Refused
from console_automation.frontends.launch import DaemonUnavailable
from tests.waiting import until_now

# -- which session is meant ------------------------------------------------------------------------


def session(end: str, status: str = "open", **more: Any) -> dict[str, Any]:
    return {"sessionId": f"session-{end}", "status": status, "command": "sh", **more}


#: Newest first, as they are listed.
LISTED = [
    session("abd1", name="twin"),
    session("abc2", name="abc1"),
    session("abc1", name="twin"),
    session("aaa3", "closed", name="was"),
    session("aaa2", "closed", name="was"),
    session("aaa1", name="now"),
    session("aab1", "closed", name="now"),
    session("000", "closed"),
]


@pytest.mark.parametrize(
    ("reference", "meant"),
    [
        ("session-abc1", ["abc1"]),
        ("abc1", ["abc1"]),  # an id, though another has it for a name
        ("now", ["aaa1"]),  # the one that is open
        ("was", ["aaa3"]),  # none is: the latest
        ("twin", ["abd1", "abc1"]),
        ("abc", ["abc2", "abc1"]),
        ("session-abd", ["abd1"]),
        ("aa", ["aaa1"]),  # the open one of those that begin so
        ("0", ["000"]),
        ("session-", ["abd1", "abc2", "abc1", "aaa1"]),
        ("", []),
        ("no", []),
        ("a_c", []),
        ("%", []),
        ("ABC1", []),
    ],
)
def test_an_id_a_name_or_the_beginning_of_an_id_means_a_session(
    reference: str, meant: list[str]
) -> None:
    found = sessions_meant(LISTED, reference)
    assert [each["sessionId"].removeprefix("session-") for each in found] == meant


def test_who_is_ambiguous_is_shown_what_could_be_meant() -> None:
    failure = ambiguous("twin", [session(str(number)) for number in range(12)], more=3)
    assert failure.code == outcome.USAGE
    lines = str(failure).splitlines()
    assert "session-0" in lines[1] and "session-9" in lines[10] and lines[11] == "  and 5 more"


@pytest.mark.parametrize(
    ("closed", "code"),
    [
        ({"closing": "exited", "exitCode": 7}, 7),
        ({"closing": "exited", "exitCode": 0}, 0),
        ({"closing": "stopped", "signal": "SIGHUP"}, 129),
        ({"closing": "lost"}, 1),
    ],
)
def test_a_closed_session_has_the_exit_code_of_its_program(
    closed: dict[str, Any], code: int
) -> None:
    assert outcome.of_session(session("x", "closed", **closed)) == code


def test_errors_that_name_a_tool_name_the_command_instead() -> None:
    said = "Wait with console_get_session_state waitMs, or console_send_key ctrl+c; console_other."
    error = Refused({"error": said, "code": "CONFLICT", "details": {}})
    assert outcome.of_error(error) == (
        1,
        "Wait with `job session exec` without a command, or `job session key` ctrl+c; console_other.",
    )


# -- the key that detaches -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key", "code"),
    [
        ("ctrl+\\", "ctrl+\\", b"\x1c"),
        ("ctrl+]", "ctrl+]", b"\x1d"),
        ("Ctrl+A", "ctrl+a", b"\x01"),
        ("ctrl+z", "ctrl+z", b"\x1a"),
        ("ctrl+@", "ctrl+@", b"\x00"),
        ("ctrl+_", "ctrl+_", b"\x1f"),
    ],
)
def test_a_control_key_can_detach(name: str, key: str, code: bytes) -> None:
    assert control_key(name) == (key, code)


@pytest.mark.parametrize(
    "name", ["", "a", "ctrl+", "ctrl", "ctrl+1", "ctrl+?", "ctrl+ä", "ctrl+ab", "alt+a", "^a"]
)
def test_what_is_no_control_key_cannot(name: str) -> None:
    with pytest.raises(ArgumentTypeError, match="cannot be used"):
        control_key(name)


@pytest.mark.parametrize("name", ["ctrl+[", "ctrl+i", "ctrl+j", "ctrl+m"])
def test_what_other_keys_send_cannot_detach(name: str) -> None:
    with pytest.raises(ArgumentTypeError, match="cannot be used"):
        control_key(name)


# -- passing keys on -------------------------------------------------------------------------------


class FakeDaemon:
    """Takes what is typed, as much of it as the test says, once the test lets it."""

    def __init__(self) -> None:
        self.typed: list[bytes] = []
        self.sizes: list[tuple[int, int]] = []
        self.answers: list[int | Exception] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, home: str) -> "FakeDaemon":
        return self

    def call(self, operation: str, asked: dict[str, Any], *, once: bool = False) -> dict[str, Any]:
        if operation == "resize":
            self.sizes.append((asked["cols"], asked["rows"]))
            return {}
        assert once  # or keys might be typed twice
        keys = a2b_base64(asked["data"])
        self.typed.append(keys)
        self.may_answer.wait(10)
        answer = self.answers.pop(0) if self.answers else len(keys)
        if isinstance(answer, Exception):
            raise answer
        return {"accepted": answer}

    def saw(self, *typed: bytes) -> None:
        until_now(lambda: len(self.typed) >= len(typed), f"{typed}, not {self.typed}")
        assert self.typed == list(typed)


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    fake = FakeDaemon()
    monkeypatch.setattr(typist, "Client", fake)
    yield fake
    fake.may_answer.set()


def test_keys_are_passed_on_in_their_order_and_together_when_they_wait(daemon: FakeDaemon) -> None:
    person = Typist("", "session-1")
    daemon.may_answer.clear()
    person.type(b"a")
    daemon.saw(b"a")
    person.type(b"b\x00\xff")
    person.type(b"c\x03")
    daemon.may_answer.set()
    daemon.saw(b"a", b"b\x00\xffc\x03")


def test_what_was_not_taken_is_typed_again(daemon: FakeDaemon) -> None:
    daemon.answers = [2, 0, Refused({"error": "starting", "code": "UNAVAILABLE"})]
    Typist("", "session-1").type(b"abcde")
    daemon.saw(b"abcde", b"cde", b"cde", b"cde")


def test_an_interrupt_passes_by_what_nobody_reads(daemon: FakeDaemon) -> None:
    daemon.answers = [1]
    person = Typist("", "session-1")
    person.type(b"abc")
    until_now(lambda: person._is_stuck, "a program that reads nothing")
    person.type(b"\x03")
    until_now(lambda: daemon.typed[-1] == b"\x03", "the interrupt alone")
    person.type(b"next")
    until_now(lambda: daemon.typed[-1] == b"next", "what came after it")


def test_an_interrupt_takes_its_turn_where_everything_is_read(daemon: FakeDaemon) -> None:
    person = Typist("", "session-1")
    daemon.may_answer.clear()
    person.type(b"a")
    daemon.saw(b"a")
    person.type(b"b")
    person.type(b"\x03")
    person.type(b"\x03")
    daemon.may_answer.set()
    daemon.saw(b"a", b"b\x03\x03")


@pytest.mark.parametrize(
    "error", [DaemonUnavailable("it ended"), Refused({"error": "closed", "code": "SESSION_CLOSED"})]
)
def test_nothing_is_typed_twice_when_it_may_have_arrived(
    daemon: FakeDaemon, error: Exception
) -> None:
    daemon.answers = [error]
    person = Typist("", "session-1")
    person.type(b"rm -r old\r")
    daemon.saw(b"rm -r old\r")
    person.type(b"next")
    daemon.saw(b"rm -r old\r", b"next")


def test_a_size_is_kept_to_what_a_terminal_can_have(daemon: FakeDaemon) -> None:
    person = Typist("", "session-1")
    for size in ((80, 24), (1, 1), (900, 900)):
        person.resize(*size)
        until_now(lambda: person._size is None, "the size")
    until_now(lambda: len(daemon.sizes) == 3, "every size")
    assert daemon.sizes == [(80, 24), (2, 2), (500, 300)]


# -- what is one command's -------------------------------------------------------------------------

BEGIN, END = b"\x1b]133;C;0123456789abcdef\x07", b"\x1b]133;D;0;0123456789abcdef\x07"
OTHER = b"\x1b]133;D;0;fedcba9876543210\x07"


def parts(*chunks: bytes) -> tuple[str, bool]:
    part = _Part("0123456789abcdef")
    return "".join(part.text([chunk]) for chunk in chunks), part.is_over


def test_what_lies_between_its_marks_is_a_commands_output() -> None:
    assert parts(b"$ echo\r\n" + BEGIN + b"out\r\n" + END + b"$ ") == ("out\n", True)
    assert parts(b"$ echo\r\n", BEGIN, b"out", b"put\r\n", END, b"$ ") == ("output\n", True)
    assert parts(b"no" + OTHER + BEGIN + b"a" + OTHER + b"b") == ("ab", False)
    assert parts(b"before any mark", END + b"after") == ("", True)


def test_a_character_that_comes_in_two_pieces_is_one() -> None:
    euro = "€".encode()
    assert parts(BEGIN + euro[:1], euro[1:] + END) == ("€", True)
