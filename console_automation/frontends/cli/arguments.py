"""What the commands take: one parser class, one way to write a duration, one way to name a job."""

import argparse
import os
import re
from argparse import SUPPRESS, ArgumentTypeError

from console_automation.frontends.cli.outcome import NOT_FOUND, USAGE, Failure
from console_automation.frontends.cli.streams import columns
from console_automation.frontends.client import Client, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn

    from console_automation.frontends.cli.streams import Streams

    Run = Callable[[Namespace, Client, Streams], int]
    Take = Callable[[argparse.ArgumentParser], None]

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")
_WIDEST_HELP = 100
_CANDIDATES = 10  #: shown of those that a prefix may mean
_MOST_SESSIONS = 1000
_SESSION = "session-"
_CLUSTER = "cluster-job-"

REFERENCE = "id, beginning of an id, or name"
HIDDEN = SUPPRESS  #: as the help of an option that is not for people


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal, and no wider than reads well.

    argparse makes one for every argument, and would import `shutil` to learn the width.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(columns(), _WIDEST_HELP) - 2)


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line and say where help is."""

    def __init__(self, **options: "Any") -> None:
        options.setdefault("formatter_class", _Help)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> "NoReturn":
        """Refuse the arguments. Raises Failure."""
        raise Failure(f"{message}. See `{self.prog} --help`.", USAGE)


def take_json(parser: argparse.ArgumentParser) -> None:
    """Have a command print JSON when asked."""
    parser.add_argument(
        "--json", action="store_true", help="print the result as JSON (docs/cli.md has the schema)"
    )


def take_commands(
    parser: argparse.ArgumentParser,
    *commands: "tuple[str, Run, Take, str, str]",
    about: "Mapping[str, str]",
) -> None:
    """Have a command take one of these commands: its name, what runs it, what it takes besides --json,
    its one line of help, the words of an example. `about` describes those of which more is to be said.
    """
    below = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    for name, run, take, help, example in commands:
        shown = f"example:\n  {parser.prog} {name} {example}"
        command = below.add_parser(name, help=help, description=about.get(name, help), epilog=shown)
        command.set_defaults(run=run)
        take(command)
        take_json(command)


def take_pairs(parser: argparse.ArgumentParser, *names: str, help: str | None) -> None:
    """Have a command take an option, as often as one likes, each time with a pair."""
    parser.add_argument(
        *names, type=pair, action="append", metavar="NAME=VALUE", default=[], help=help
    )


def duration(text: str) -> float:
    """Return `30s`, `5m`, `1h30m`, `7d` or bare seconds as milliseconds.

    Raises ArgumentTypeError.
    """
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text) * 1000
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ArgumentTypeError(f"{text!r} is no duration; write it like 30s, 5m, 1h30m or 7d")
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))


def pair(text: str) -> tuple[str, str]:
    """Return `NAME=VALUE` as a pair. Raises ArgumentTypeError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def present(wanted: "Mapping[str, Any]") -> "dict[str, Any]":
    """Return the arguments of a tool that were given at all."""
    return {name: value for name, value in wanted.items() if value not in (None, {}, [])}


def from_toml(text: bytes) -> "dict[str, Any]":
    """Return what a TOML file says. Raises ValueError, also for what is no JSON, with its place."""
    import tomllib

    content = tomllib.loads(text.decode())
    places: list[tuple[str, Any]] = [("", content)]
    for place, value in places:  # grows meanwhile
        if isinstance(value, dict | list):
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            places += [(f"{place}.{name}", each) for name, each in inner]
        elif not isinstance(value, str | int | float):
            raise ValueError(
                f"{place[1:]} is a date or a time, of which JSON knows nothing; write it as text, in quotes"
            )
    return content


def command_of(words: "Sequence[str]") -> "dict[str, Any]":
    """Return what a tool is to run: one word is a line for a shell; several, or what comes after --, are
    a program and its arguments; no word is nothing."""
    is_literal = words[:1] == ["--"]
    words = words[is_literal:]
    if not words:
        return {}
    is_line = len(words) == 1 and not is_literal
    return {"command": words[0]} if is_line else {"command": words[0], "args": words[1:]}


def here() -> str:
    """Return the working directory as a project is asked for; the home directory where it is gone.

    What is not UTF-8 in it is written as the name of a project has it.
    """
    try:
        directory = os.getcwd()
    except OSError:
        directory = os.path.expanduser("~")
    return directory.encode("utf-8", "backslashreplace").decode()


def job_of(client: Client, reference: str) -> "dict[str, Any]":
    """Return the job that a person means. Raises Failure when there is none, or more than one."""
    options = {"ref": reference, "project": here(), "limit": _CANDIDATES}
    found = client.call("console_list_jobs", {"options": options})
    if not found["jobs"] and not reference.startswith(_CLUSTER):
        found = _in_cluster(client, options)
    jobs: list[dict[str, Any]] = found["jobs"]
    if not jobs:
        raise Failure(
            f"there is no job {reference!r}; `job list --all` shows the jobs there are", NOT_FOUND
        )
    if len(jobs) > 1:
        raise ambiguous(reference, jobs, more=found["total"] - len(jobs))
    return jobs[0]


def _in_cluster(client: Client, options: "dict[str, Any]") -> "dict[str, Any]":
    """Return the jobs of the cluster that are meant; none where this machine is in no cluster."""
    try:
        return client.call("console_list_jobs", {"options": {**options, "cluster": "jobs"}})
    except Refused as error:
        if error.code != "UNAVAILABLE":
            raise
        return {"jobs": [], "total": 0}


def session_of(client: Client, reference: str) -> "dict[str, Any]":
    """Return the session that a person means. Raises Failure when there is none, or more than one."""
    listed = client.call("console_list_sessions", {"limit": _MOST_SESSIONS})["sessions"]
    found = sessions_meant(listed, reference)
    if not found and reference.startswith(_SESSION):  # there may be more than are listed
        state = client.call("console_get_session_state", {"sessionId": reference})
        session: dict[str, Any] = state["session"]
        return session
    if not found:
        raise Failure(
            f"there is no session {reference!r}; `job session ls --all` shows those there are",
            NOT_FOUND,
            name="SESSION_NOT_FOUND",
        )
    if len(found) > 1:
        raise ambiguous(reference, found)
    return found[0]


def sessions_meant(
    sessions: "Sequence[dict[str, Any]]", reference: str
) -> "Sequence[dict[str, Any]]":
    """Return which of the sessions, newest first, a reference may mean.

    A whole id means its session. Else a name means those that are open, or the latest that was. Else it
    is the beginning of ids, with or without their kind: of open ones, if there are any.
    """
    begun = _SESSION + reference.removeprefix(_SESSION)
    if exact := [each for each in sessions if each["sessionId"] == begun]:
        return exact
    if named := [each for each in sessions if each.get("name") == reference]:
        return _open(named) or named[:1]
    found = [each for each in sessions if reference and each["sessionId"].startswith(begun)]
    return _open(found) or found


def _open(sessions: "Sequence[dict[str, Any]]") -> "Sequence[dict[str, Any]]":
    return [each for each in sessions if each["status"] != "closed"]


def ambiguous(reference: str, found: "Sequence[dict[str, Any]]", *, more: int = 0) -> Failure:
    """Return the failure for a reference that may mean any of several jobs and sessions."""
    shown = "".join(f"\n  {line_of(each)}" for each in found[:_CANDIDATES])
    more += max(0, len(found) - _CANDIDATES)
    shown += f"\n  and {more} more" if more else ""
    return Failure(f"{reference!r} could be any of these; say more of the id:{shown}", USAGE)


def line_of(subject: "Any") -> str:
    """Say in one line which job or session it is, with its id, and how it stands."""
    from console_automation.operations.session_texts import session_line
    from console_automation.operations.texts import job_line

    return job_line(subject) if "id" in subject else session_line(subject)
