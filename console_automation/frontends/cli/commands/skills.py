"""Teach AI agents that have only a shell to use `job`: a skill for Claude Code, Codex, Cursor, Gemini CLI,
OpenCode and whoever else reads ~/.claude/skills or ~/.agents/skills.

Examples:
  job skills show                   print the text
  job skills install
  job skills install --dir .claude/skills     for this repository alone
"""

import os

from console_automation.frontends.cli import arguments, outcome, written
from console_automation.frontends.cli.outcome import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_NAME = "job"
_PLACES = ("~/.claude/skills", "~/.agents/skills")
_TEXT = os.path.join(os.path.dirname(__file__), "..", "..", "..", "skill", "SKILL.md")


def configure(parser: "ArgumentParser") -> None:
    """Say which commands there are."""
    commands = parser.add_subparsers(
        metavar="COMMAND", parser_class=arguments.Parser, required=True
    )
    for name, run, help in (
        ("install", _install, "write it, and show what is written"),
        ("uninstall", _uninstall, "remove what install has written"),
        ("show", _show, "print it"),
    ):
        command = commands.add_parser(
            name,
            help=help,
            description=help,
            epilog=f"example:\n  {parser.prog} {name}",
        )
        command.set_defaults(run=run)
        if run is not _show:
            command.add_argument("--dir", metavar="DIR", help=f"only DIR/{_NAME}/SKILL.md")


def text() -> str:
    """Return the skill as it is written."""
    with open(_TEXT, encoding="utf-8") as file:
        return written.sealed(file.read() + "\n", "job skills install", "<!-- %s -->")


def _install(given: "Namespace", client: "Client", streams: "Streams") -> int:
    content = text()
    _each(given, lambda path: written.write(streams, path, content))
    streams.raw(f"\n{content}".encode())
    return outcome.DONE


def _uninstall(given: "Namespace", client: "Client", streams: "Streams") -> int:
    def remove(path: str) -> None:
        directory = os.path.dirname(path)
        if written.remove(streams, path) and not os.listdir(directory):
            os.rmdir(directory)

    _each(given, remove)
    return outcome.DONE


def _show(given: "Namespace", client: "Client", streams: "Streams") -> int:
    streams.raw(text().encode())
    return outcome.DONE


def _each(given: "Namespace", work: "Callable[[str], None]") -> None:
    """Do it in every place; a place where it cannot be done keeps none of the others from it."""
    places = _PLACES if given.dir is None else [os.path.abspath(given.dir)]
    problems = []
    for place in places:
        try:
            work(os.path.join(os.path.expanduser(place), _NAME, "SKILL.md"))
        except (Failure, OSError) as error:
            problems.append(str(error))
    if problems:
        raise Failure("\n".join(problems))
