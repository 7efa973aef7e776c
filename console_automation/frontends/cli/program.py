"""The two programs: which commands there are, and what becomes of what goes wrong in them.

A command's module is imported when it is called, so that each starts as fast as it can.
"""

import os
import sys
from importlib import import_module

from console_automation import __version__, paths
from console_automation.frontends.cli import outcome
from console_automation.frontends.cli.arguments import Parser
from console_automation.frontends.cli.outcome import Failure
from console_automation.frontends.cli.streams import Streams, open_streams
from console_automation.frontends.client import Client, Refused
from console_automation.frontends.launch import DaemonUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

_COMMANDS = "console_automation.frontends.cli.commands"


class Program:
    """A program with commands, each in the module of its name. `usual` is what it does without one."""

    def __init__(
        self,
        name: str,
        about: str,
        commands: "Mapping[str, str]",
        *,
        aliases: "Mapping[str, str] | None" = None,
        usual: str | None = None,
    ) -> None:
        self.name = name
        self.about = about
        self.commands = commands  #: and what each does, in a line; without one it is not shown
        self.aliases = aliases or {}
        self._usual = usual
        self._as_json = False  #: whether what goes wrong is said as JSON, too

    def main(self, words: "Sequence[str]") -> int:
        """Carry out a command line and return the exit code."""
        open_streams()
        self._as_json = "--json" in words or words[:1] == ["call"]
        try:
            code = self._run(list(words))
            sys.stdout.flush()
        except BrokenPipeError:
            # Who read the output has enough. Python would complain again when it flushes at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return outcome.NO_READER
        except KeyboardInterrupt:
            return outcome.INTERRUPTED
        except (Failure, Refused, DaemonUnavailable, OSError) as error:
            return self._complain(error)
        return code

    def _run(self, words: list[str]) -> int:
        first = words[0] if words else self._usual or "help"
        if first in ("-h", "--help", "help"):
            sys.stdout.write(self.help())
            return outcome.DONE if words else outcome.USAGE
        if first == "--version":
            sys.stdout.write(f"{self.name} {__version__}\n")
            return outcome.DONE
        name, rest = self.split(words)
        if name not in self.commands:
            raise Failure(self._unknown(name), outcome.USAGE)
        return self._carry_out(name, rest)

    def split(self, words: list[str]) -> tuple[str, list[str]]:
        """Return the command that is meant, and what it is given."""
        if self._usual and (not words or words[0].startswith("-")):
            return self._usual, words
        return self.aliases.get(words[0], words[0]), words[1:]

    def _carry_out(self, name: str, words: list[str]) -> int:
        module, parser = load(name), self.parser(name)
        try:
            given = (
                module.parse(parser, words)
                if hasattr(module, "parse")
                else parser.parse_args(words)
            )
        except SystemExit as end:  # argparse has printed the help
            return int(end.code or 0)
        # From here on it is known whose --json it is: `job run pytest --json` has none for us.
        self._as_json = getattr(given, "json", False)
        streams = Streams(json=self._as_json)
        with Client(paths.home(), streams.remark) as client:
            try:
                code: int = given.run(given, client, streams)
                return code
            finally:
                streams.progress("")

    def _complain(self, error: Exception) -> int:
        """Say what went wrong, also as JSON if that is what was asked for; returns the exit code."""
        code, message = outcome.of_error(error)
        try:
            if self._as_json:
                Streams().result(outcome.as_view(error))
            sys.stdout.flush()
        except OSError:
            pass
        sys.stderr.write(f"{self.name}: {message}\n")
        return code

    def parser(self, name: str) -> Parser:
        """Return the parser of a command."""
        module = load(name)
        description, _, examples = (
            (module.__doc__ or "")
            .replace(f"job {name}", f"{self.name} {name}")
            .partition("\n\nExamples:\n")
        )
        parser = Parser(
            prog=f"{self.name} {name}",
            description=description.strip(),
            epilog=f"examples:\n{examples.rstrip()}" if examples else None,
        )
        parser.set_defaults(run=getattr(module, "run", None))
        module.configure(parser)
        return parser

    def help(self) -> str:
        """Return the page that shows all commands."""
        shown = {name: summary for name, summary in self.commands.items() if summary}
        width = max(map(len, shown))
        lines = [f"  {name:<{width}}  {summary}" for name, summary in shown.items()]
        return (
            f"usage: {self.name} COMMAND ...\n\n{self.about.strip()}\n\ncommands:\n"
            + "\n".join(lines)
            + f"\n\n`{self.name} COMMAND --help` says more, with examples.\n"
        )

    def _unknown(self, name: str) -> str:
        from difflib import get_close_matches

        close = get_close_matches(name, [*self.commands, *self.aliases], n=1)
        meant = f" Did you mean `{self.name} {close[0]}`?" if close else ""
        return f"there is no command {name!r}.{meant} `{self.name} --help` shows all."


def load(name: str) -> "ModuleType":
    """Return the module of a command."""
    return import_module(f"{_COMMANDS}.{name}")


JOB = Program(
    "job",
    """
Background jobs that survive the terminal, the client and the daemon. A job keeps its output and
its exact exit code until it is cleaned up; the daemon starts by itself.

  job run make test        start it; prints the job's id
  job logs -f ID           follow it; Ctrl-C only stops following
  job wait ID              wait for its end; exits with its code
""",
    {
        "run": "start a background job",
        "list": "list jobs of this project (also: ls, or no command at all)",
        "status": "say how a job stands, or how the system does",
        "logs": "show what a job has printed, or follow it",
        "wait": "wait until jobs are over; exit with the job's code",
        "stop": "end jobs and every process they started",
        "retry": "run a finished job again",
        "send": "write to a job's stdin",
        "session": "open terminals that last, and drive them: new, ls, exec, send, ...",
        "schedule": "run a command at times or at intervals: create, list, show, update, ...",
        "workers": "list the cluster's workers; drain, cordon or forget one",
        "dlq": "list what the cluster has given up; show why, run it again",
        "exec": "run a typed job by its name, and print its result",
        "definitions": "list the typed jobs there are",
        "define": "register typed jobs: from Python, TOML or JSON",
        "workflow": "run typed jobs that wait for each other: register, run, status, rerun, ...",
        "attach": "attach this terminal to a session, or to a job on a terminal",
        "clean": "remove finished jobs",
        "top": "watch the jobs, live",
        "metrics": "show the figures",
        "call": "carry out any tool, with JSON",
        "daemon": "start, stop, inspect or install the daemon",
        "skills": "teach AI agents that have a shell to use job",
        "completions": "print what bash, zsh or fish needs to complete",
        "doctor": "check what the product needs of this machine",
        "complete": "",
    },
    aliases={"ls": "list"},
    usual="list",
)

SERVER = Program(
    "console-automation",
    """
Background jobs and consoles for AI agents, which survive the client, the daemon and their crashes.

  for an AI client, over stdio:   console-automation mcp
  over HTTP on this machine:      console-automation serve --http
  for people and scripts:         job --help

State is in ~/.console-automation, or where CONSOLE_AUTOMATION_HOME says.
""",
    {
        "mcp": "serve MCP on stdin and stdout, through the daemon",
        "serve": "run the daemon in the foreground, with HTTP",
        "daemon": "run, inspect or stop the daemon",
        "metrics": "print the daemon's figures",
        "token": "make, list or revoke tokens for others over HTTP",
        "worker": "run jobs of the cluster on this machine",
        "record": "write a session's recording",
        "doctor": "check what the product needs of this machine",
    },
)
