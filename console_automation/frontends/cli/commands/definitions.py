"""List the typed jobs that `job exec` runs by name: the registered ones, and this project's own.

With a name: all about that one. A project's own are in the file console-automation.toml in its root.

Examples:
  job definitions               all of them
  job definitions --tag text    those with the tag
  job definitions greet         what it takes and what it gives
"""

from console_automation.frontends.cli import arguments, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


def configure(parser: "ArgumentParser") -> None:
    """Say what `job definitions` takes."""
    add = parser.add_argument
    add("name", nargs="?", metavar="DEFINITION", help="just this one")
    add("--tag", action="append", default=[], help="with this tag; repeated: any of them")
    arguments.take_pairs(parser, "--label", help="with this label; repeated: all of them")
    add("-q", "--query", metavar="TEXT", help="with this text in name or description")
    arguments.take_json(parser)


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Print them."""
    wanted = {
        "name": given.name,
        "tags": given.tag,
        "labels": dict(given.label),
        "query": given.query,
        "limit": 1_000,
    }
    found = client.call("console_list_job_definitions", arguments.present(wanted))
    if streams.json:
        streams.result(found)
    elif given.name is not None:
        streams.line(_whole(found["definitions"][0]))
    else:
        from console_automation.core.text import one_line
        from console_automation.frontends.cli import tables
        from console_automation.operations.definition_texts import takes

        rows = [
            [each["name"], each["source"], takes(each), one_line(each["description"], 200)]
            for each in found["definitions"]
        ]
        tables.table(streams, ["NAME", "SOURCE", "INPUT", "DESCRIPTION"], rows)
    return outcome.DONE


def _whole(definition: dict[str, object]) -> str:
    import json

    from console_automation.core.text import sanitize

    return sanitize(json.dumps(definition, indent=2, ensure_ascii=False))
