"""The command line's own decisions: exit codes, durations, short ids, and that every help teaches."""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import pytest

if sys.platform == "win32":
    pytest.skip("the command line needs POSIX", allow_module_level=True)

from console_automation.frontends.cli import outcome, tables
from console_automation.frontends.cli.arguments import Parser, duration, pair
from console_automation.frontends.cli.outcome import Failure
from console_automation.frontends.cli.program import JOB, SERVER, Program
from console_automation.frontends.client import Refused
from console_automation.frontends.launch import DaemonUnavailable


def parsers() -> Iterator[Any]:
    """Every parser of both programs, those of sub-commands included."""
    for program in (JOB, SERVER):
        for name, summary in program.commands.items():
            if summary:
                yield from _below(program.parser(name))


def _below(parser: argparse.ArgumentParser) -> Iterator[Any]:
    yield pytest.param(parser, id=parser.prog)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _below(each)


EACH = pytest.mark.parametrize("parser", list(parsers()))


@EACH
def test_a_commands_help_says_what_it_does_and_gives_an_example(parser: Parser) -> None:
    said = parser.format_help()
    assert f"usage: {parser.prog}" in said
    assert parser.description and parser.description[0].isalpha()
    assert "example" in said and parser.prog in said.partition("example")[2]


@EACH
def test_every_argument_of_a_command_is_explained(parser: Parser) -> None:
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            obvious = action.dest in ("env", "tag", "stream", "ignore_case")
            assert action.help or obvious, action.dest


@pytest.mark.parametrize("program", [JOB, SERVER], ids=["job", "console-automation"])
def test_a_programs_help_fits_a_terminal_and_names_every_command(program: Program) -> None:
    said = program.help()
    assert all(len(line) <= 100 for line in said.splitlines())
    for name, summary in program.commands.items():
        assert (f"  {name} " in said) is bool(summary)


@pytest.mark.parametrize(
    ("job", "code"),
    [
        ({"status": "completed", "exitCode": 0}, 0),
        ({"status": "failed", "exitCode": 42, "reason": "exit_code"}, 42),
        ({"status": "failed", "exitCode": None, "signal": "SIGKILL", "reason": "signal"}, 137),
        ({"status": "failed", "exitCode": None, "signal": "SIG42", "reason": "signal"}, 170),
        ({"status": "failed", "exitCode": 0, "reason": "timeout"}, 1),
        ({"status": "failed", "exitCode": None, "reason": "spawn_error"}, 126),
        ({"status": "failed", "exitCode": None, "reason": "dependency"}, 1),
        ({"status": "cancelled", "exitCode": None, "signal": "SIGTERM"}, 143),
        ({"status": "cancelled", "exitCode": None}, 1),
        ({"status": "interrupted", "exitCode": None, "reason": "lost"}, 1),
    ],
)
def test_a_job_that_is_over_has_an_exit_code_and_only_success_is_0(
    job: dict[str, Any], code: int
) -> None:
    assert outcome.of_job(job) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Failure("x"), 1),
        (Failure("x", outcome.NOT_FOUND), 3),
        (DaemonUnavailable("x"), 4),
        (OSError("x"), 1),
        *[
            (Refused({"error": "x", "code": name, "details": {}}), code)
            for name, code in {
                "INVALID_ARGUMENT": 2,
                "WORKING_DIRECTORY_NOT_FOUND": 2,
                "COMMAND_NOT_FOUND": 127,
                "PERMISSION_DENIED": 126,
                "JOB_NOT_FOUND": 3,
                "SESSION_NOT_FOUND": 3,
                "CONFLICT": 1,
                "LIMIT_REACHED": 1,
                "TIMEOUT": 124,
                "UNAVAILABLE": 4,
                "INTERNAL": 1,
            }.items()
        ],
    ],
)
def test_every_error_has_an_exit_code(error: Exception, code: int) -> None:
    assert outcome.of_error(error)[0] == code


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0),
        ("1.5", 1500),
        ("250ms", 250),
        ("30s", 30_000),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("7d", 604_800_000),
        ("1w", 604_800_000),
    ],
)
def test_a_duration_is_read_as_it_is_meant(text: str, ms: float) -> None:
    assert duration(text) == ms


@pytest.mark.parametrize(
    "text", ["", " ", "s", "5 m", "m5", "1h-1m", "-5s", "1e3s", "٣s", "5M", "5y"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="30s"):
        duration(text)


def test_a_pair_is_cut_at_its_first_sign() -> None:
    assert pair("A=b=c") == ("A", "b=c") and pair("A=") == ("A", "")
    for text in ("A", "=b", ""):
        with pytest.raises(argparse.ArgumentTypeError):
            pair(text)


def test_short_ids_are_told_apart_and_begin_the_whole_ones() -> None:
    ids = ["job-01aaaaaaaaaabbbb", "job-01aaaaaaaaaabbbc", "job-01aaaaaaaaaazzzz", "job-02"]
    short = tables.shortened(ids)
    assert set(short) == set(ids) and len(set(short.values())) == len(ids)
    for whole, each in short.items():
        assert whole.removeprefix("job-").startswith(each)
        assert sum(other.removeprefix("job-").startswith(each) for other in ids) == 1
