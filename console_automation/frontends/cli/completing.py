"""What could come next on a command line, found out from the parsers themselves.

Names of jobs and sessions come from the daemon, if one is running and answers at once. What goes wrong is
passed over: who presses Tab has not asked for an error.
"""

import argparse

from console_automation import paths
from console_automation.frontends import launch
from console_automation.frontends.cli import arguments
from console_automation.frontends.cli.program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Found = list[tuple[str, str]]  # candidates, each with a word on it

#: What the shell itself knows better.
FILES, DIRECTORIES, COMMANDS, NOTHING = "files", "directories", "commands", "nothing"

_BY_METAVAR = {"FILE": FILES, "DIR": DIRECTORIES, "COMMAND": COMMANDS}
_NEWEST = 100
_ABOUT = 60  #: characters of a command line
_FINISHED_TOO = frozenset(
    {"logs", "status", "wait", "retry"}
)  #: commands that are about such jobs too
_BY_NAME = frozenset({"attach", "session"})  #: commands to which a session's name will do


class Place:
    """Where on a command line we are: which parser is at work, and what it expects next."""

    def __init__(self, name: str, parser: argparse.ArgumentParser) -> None:
        self.name = name
        self.wanted: argparse.Action | None = None  #: the option whose value comes next
        self.plain = False  #: after `--` there are no options
        self._enter(parser)

    def _enter(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser
        self._positionals = [each for each in parser._actions if not each.option_strings]
        self._seen = 0  #: words of the first of them

    @property
    def positional(self) -> argparse.Action | None:
        """The positional argument that comes next."""
        return self._positionals[0] if self._positionals else None

    @property
    def is_inside(self) -> bool:
        """Whether a command that is run by ours has begun, whose words are its own."""
        return self._seen > 0 and self.positional is not None and self.positional.nargs == "..."

    def take(self, word: str) -> None:
        """Go past a word."""
        if self.wanted is not None:
            self.wanted = None
        elif self.is_inside:
            return
        elif word == "--" and not self.plain:
            self.plain = True
        elif word.startswith("-") and len(word) > 1 and not self.plain:
            option = self._option(word)
            if option is not None and option.nargs != 0 and "=" not in word:
                self.wanted = option
        else:
            self._go_past(word)

    def _option(self, word: str) -> "argparse.Action | None":
        """The option whose value comes in the next word, or is joined to it by `=`."""
        known = self.parser._option_string_actions
        if word.startswith("--"):
            return known.get(word.partition("=")[0])
        return known.get("-" + word[-1])

    def _go_past(self, word: str) -> None:
        expected = self.positional
        if isinstance(expected, argparse._SubParsersAction):
            self._enter(expected.choices.get(word) or argparse.ArgumentParser(add_help=False))
            return
        self._seen += 1
        if expected is not None and expected.nargs in (None, "?"):
            del self._positionals[0]
            self._seen = 0

    def next(self, begun: str) -> tuple[str, "Found"]:
        """Return what the shell is to complete by itself, and candidates of ours for a word begun."""
        if self.wanted is not None:
            return self._values(self.wanted, begun)
        if self.is_inside:
            return FILES, []
        if begun.startswith("-") and not self.plain:
            name, equals, value = begun.partition("=")
            option = self._option(begun) if equals and begun.startswith("--") else None
            if option is None:
                return NOTHING, list(self._options())
            kind, found = self._values(option, value)
            return kind, [(f"{name}={each}", about) for each, about in found]
        expected = self.positional
        return (NOTHING, []) if expected is None else self._values(expected, begun)

    def _options(self) -> "Iterator[tuple[str, str]]":
        for action in self.parser._actions:
            if action.help != argparse.SUPPRESS:
                for name in action.option_strings:
                    yield name, action.help or ""

    def _values(self, action: argparse.Action, begun: str) -> tuple[str, "Found"]:
        if isinstance(action, argparse._SubParsersAction):
            return NOTHING, [(each.dest, each.help or "") for each in action._choices_actions]
        if action.choices is not None:
            return NOTHING, [(str(each), "") for each in action.choices]
        if action.metavar == "JOB" and self.name == "dlq":
            return NOTHING, dead_letters(begun)
        if action.metavar == "JOB":
            return NOTHING, jobs(begun, finished=self.name in _FINISHED_TOO)
        if action.metavar == "SESSION":
            named = self.name in _BY_NAME
            also = jobs(begun, finished=False) if self.name == "attach" else []
            return NOTHING, sessions(begun, named=named) + also
        if (found := _NAMED.get(str(action.metavar))) is not None:
            return NOTHING, found(begun)
        return _BY_METAVAR.get(str(action.metavar), NOTHING), []


def complete(program: Program, words: list[str], begun: str) -> tuple[str, "Found"]:
    """Return what the shell is to complete by itself, and candidates for the word that is begun."""
    if not words and not begun.startswith("-"):
        kind, found = NOTHING, list(_commands(program))
    else:
        name, rest = program.split(words)
        if name not in program.commands:
            return NOTHING, []
        place = Place(name, program.parser(name))
        for word in rest:
            place.take(word)
        kind, found = place.next(begun)
    return kind, [(value, about) for value, about in found if value.startswith(begun)]


def _commands(program: Program) -> "Iterator[tuple[str, str]]":
    for name, about in program.commands.items():
        if about:
            yield name, about
    for alias, name in program.aliases.items():
        yield alias, program.commands[name]


def jobs(begun: str, *, finished: bool) -> "Found":
    """Return the jobs of this project by name, else by id; all of them by id if one is begun."""
    from console_automation.core.text import one_line

    options = {"project": arguments.here(), "limit": _NEWEST}
    if not finished:
        options["status"] = "active"
    found: Found = []
    for job in _ask("console_list_jobs", {"options": options}).get("jobs", []):
        line = one_line(" ".join([job["command"], *job.get("args", [])]), _ABOUT)
        found += _called(job["id"], job.get("name"), f"{job['status']}: {line}", begun, found)
    return found


def sessions(begun: str, *, named: bool) -> "Found":
    """Return the sessions that are open: by id, or by name where one will do and there is one."""
    from console_automation.core.text import one_line

    found: Found = []
    for each in _ask("console_list_sessions", {"closed": False}).get("sessions", []):
        about = one_line(each["command"], _ABOUT)
        found += _called(
            each["sessionId"], each.get("name") if named else None, about, begun, found
        )
    return found


def schedules(begun: str) -> "Found":
    """Return the schedules of this project by name."""
    from console_automation.core.text import one_line

    asked = {"project": arguments.here(), "limit": _NEWEST}
    listed = _ask("console_list_schedules", asked).get("schedules", [])
    return [(each["name"], one_line(each["command"], _ABOUT)) for each in listed]


def dead_letters(begun: str) -> "Found":
    """Return the dead letters of the cluster."""
    from console_automation.core.text import one_line

    options = {"cluster": "dead_letters", "limit": _NEWEST}
    listed = _ask("console_list_jobs", {"options": options}).get("jobs", [])
    return [
        (job["id"], f"{job.get('reason')}: {one_line(job['command'], _ABOUT)}") for job in listed
    ]


def workers(begun: str) -> "Found":
    """Return the workers of the cluster, by host."""
    listed = _ask("console_list_workers", {}).get("workers", [])
    return [(each["host"], each["status"]) for each in listed]


def targets(begun: str) -> "Found":
    """Return what a job can be aimed at: workers by host, by label, or whichever there are."""
    listed = _ask("console_list_workers", {}).get("workers", [])
    labels = {f"{name}:{value}" for each in listed for name, value in each["labels"].items()}
    return [
        ("_any", "one that has room"),
        ("_all", "every worker"),
        *((each["host"], each["status"]) for each in listed),
        *((label, "each with this label") for label in sorted(labels)),
    ]


def definitions(begun: str) -> "Found":
    """Return the job definitions that there are here, by name."""
    from console_automation.core.text import one_line

    listed = _ask("console_list_job_definitions", {"limit": _NEWEST}).get("definitions", [])
    return [(each["name"], one_line(each["description"], _ABOUT)) for each in listed]


def workflows(begun: str) -> "Found":
    """Return the workflows of this project by name."""
    from console_automation.core.text import one_line

    listed = _workflows().get("workflows", [])
    return [(each["name"], one_line(each["description"], _ABOUT)) for each in listed]


def workflow_runs(begun: str) -> "Found":
    """Return the workflows of this project that have a run, by name; the runs by id if one is begun."""
    found: Found = []
    for run in _workflows().get("runs", []):
        found += _called(run["runId"], run["workflow"], run["status"], begun, found)
    return found


def _workflows() -> "dict[str, Any]":
    return _ask("console_list_workflows", {"project": arguments.here(), "limit": _NEWEST})


#: What lists the candidates, by metavar.
_NAMED = {
    "DEFINITION": definitions,
    "HOST": workers,
    "RUN": workflow_runs,
    "SCHEDULE": schedules,
    "TARGET": targets,
    "WORKFLOW": workflows,
}


def _called(identity: str, name: str | None, about: str, begun: str, before: "Found") -> "Found":
    """Return a name, unless a newer one has it, or else the id; and the id where one is begun."""
    found: Found = []
    if name and name.isprintable() and name not in dict(before):
        found.append((name, about))
    if not name or begun.startswith(identity.partition("-")[0] + "-"):
        found.append((identity, about))
    return found


def _ask(operation: str, given: "dict[str, Any]") -> "dict[str, Any]":
    """Return a view of the daemon's; nothing if none is running. Raises DaemonUnavailable, OSError."""
    line = launch.greet(paths.home(), "api")
    if line is None:
        return {}
    with line:
        answer = launch.exchange(line, {"operation": operation, "arguments": given})
    view: dict[str, Any] = answer["view"]
    return view
