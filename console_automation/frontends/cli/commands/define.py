"""Register job definitions: typed jobs that anybody can run by name.

FILE is a Python file with jobs (`@job`), which is imported by a process of its own here; a TOML file
with a table [jobs.NAME] for each; or a JSON file with one definition. What it defines takes the place
of what was registered under the same names.

Examples:
  job define jobs.toml          every table [jobs.NAME] of it
  job define pipeline.py        every function and class with @job
  job define --remove greet     forget it; its jobs stay
"""

import json
import sys

from console_automation.frontends.cli import arguments, outcome
from console_automation.frontends.cli.outcome import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


def configure(parser: "ArgumentParser") -> None:
    """Say what `job define` takes."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="what defines the jobs; - is JSON")
    parser.add_argument(
        "--remove", action="append", metavar="DEFINITION", default=[], help="forget a definition"
    )
    arguments.take_json(parser)


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Register and remove."""
    if not given.files and not given.remove:
        raise Failure("say which file, as in: job define jobs.toml", outcome.USAGE)
    wanted = [each for file in given.files for each in _definitions(file)]
    answers = [client.call("console_remove_job", {"name": name}) for name in given.remove]
    answers += [client.call("console_register_job", each) for each in wanted]
    for answer in answers:
        if streams.json:
            streams.result(answer)
        else:
            streams.line(answer["name"])
            if "replaced" in answer:
                streams.remark("replaced" if answer["replaced"] else "registered")
    return outcome.DONE


def _definitions(file: str) -> "list[Mapping[str, Any]]":
    """Return the definitions that a file has, as arguments of the tool that registers one."""
    if file.endswith(".py"):
        return _of_python(file)
    try:
        if file == "-":
            return [json.load(sys.stdin)]
        with open(file, "rb") as opened:
            if file.endswith(".json"):
                return [json.load(opened)]
            tables = arguments.from_toml(opened.read()).get("jobs")
    except ValueError as error:
        raise Failure(f"{file}: {error}", outcome.USAGE) from None
    if not isinstance(tables, dict):
        raise Failure(f"{file}: it has no table [jobs.NAME]", outcome.USAGE)
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise Failure(f"{file}: jobs.{name} is no table", outcome.USAGE)
    return [{**table, "name": name} for name, table in tables.items()]


def _of_python(file: str) -> "list[Mapping[str, Any]]":
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "console_automation.typed", "describe", file],
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise Failure(f"{file} cannot be imported; see above", outcome.USAGE)
    found: list[Mapping[str, Any]] = json.loads(done.stdout)
    if not found:
        raise Failure(f"{file} defines no job; decorate one with @job", outcome.USAGE)
    return found
