"""Carry out any of the tools that AI clients have, with its arguments as JSON, and print its result.

What a command's options cannot say, this can. The tools are described in docs/tools.md.

Examples:
  job call console_get_job_metrics
  job call console_execute_async '{"command": "make", "options": {"idleTimeout": 60000}}'
  job call console_list_sessions | jq .open
  job call console_send_job_input - < input.json
"""

import json
import sys

from console_automation.frontends.cli import outcome
from console_automation.frontends.cli.outcome import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


def configure(parser: "ArgumentParser") -> None:
    """Say what `job call` takes."""
    parser.add_argument("tool", metavar="TOOL", help="its name, such as console_list_jobs")
    parser.add_argument(
        "arguments", nargs="?", default="{}", metavar="JSON", help="an object; - is stdin"
    )
    parser.set_defaults(json=True)


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Carry out the tool."""
    try:
        text = sys.stdin.read() if given.arguments == "-" else given.arguments
        arguments = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Failure(f"the arguments are no JSON: {error}", outcome.USAGE) from None
    streams.result(client.call(given.tool, arguments, once=True))
    return outcome.DONE
