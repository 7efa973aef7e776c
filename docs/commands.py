"""What the pages say of the command line, made of the parsers and of what the modules say of themselves."""

import argparse
import re
from collections.abc import Iterator, Sequence

from console_automation.frontends.cli import outcome
from console_automation.frontends.cli.program import JOB, load

_REMARK = re.compile(r"^(\S.*?\S)  +(\S.*)$")
_CODE = re.compile(r"^(the job's own|\d+(?:, \d+)*)  +(.+)$", re.MULTILINE)

Rows = list[tuple[str, ...]]


def index() -> Rows:
    """Each command, with a link to what is said of it."""
    shown = {name: about for name, about in JOB.commands.items() if about}
    return [(f"[`job {name}`](#job-{name})", about) for name, about in shown.items()]


def exit_codes() -> Rows:
    """The codes, as the module that knows them lists them."""
    return [(f"`{code}`" if code[0].isdigit() else code, meaning) for code, meaning in _codes()]


def _codes() -> list[tuple[str, str]]:
    return _CODE.findall(outcome.__doc__ or "")


def sections() -> Iterator[tuple[str, str, str, Rows]]:
    """Each command: its name, what it does, its examples as a script, its arguments with their meaning."""
    for name, about in JOB.commands.items():
        if about:
            text, _, examples = (load(name).__doc__ or "").partition("\n\nExamples:\n")
            parser = JOB.parser(name)
            yield f"job {name}", text.strip() + "\n", script(examples), arguments(parser)


def script(examples: str) -> str:
    """Return examples as lines of a script, their remarks as comments."""
    lines = [line.strip() for line in examples.rstrip().splitlines()]
    pairs = [_REMARK.match(line) or re.match("(.*)()", line) for line in lines]
    width = max((len(pair[1]) for pair in pairs if pair and pair[2]), default=0)
    return "\n".join(
        f"{pair[1]:<{width}}  # {pair[2]}" if pair[2] else pair[1] for pair in pairs if pair
    )


def arguments(parser: argparse.ArgumentParser, prefix: str = "") -> Rows:
    """Return what a parser takes, sub-commands with what they take behind them."""
    rows: Rows = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action._choices_actions:
                chosen = action.choices[each.dest]
                rows += [(f"**`{chosen.prog}`**", each.help or ""), *arguments(chosen, each.dest)]
        elif action.help != argparse.SUPPRESS and action.dest != "help":
            rows += [(f"`{prefix} {_written(action)}`".replace("` ", "`"), action.help or "")]
    return rows


def _written(action: argparse.Action) -> str:
    value = action.metavar or _choices(action.choices) or action.dest.upper()
    if not action.option_strings:
        return str(value)
    names = ", ".join(action.option_strings)
    return names if action.nargs == 0 else f"{names} {value}"


def _choices(choices: "Sequence[object] | None") -> str:
    return "|".join(map(str, choices or ()))
