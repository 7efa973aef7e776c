"""Remove the records and the output of finished jobs: those of this project that ended more than
--older-than ago. It also happens by itself, a day after their end. What is not over is never touched.

Examples:
  job clean                       what ended more than a day ago
  job clean --older-than 0s       every finished job of this project
  job clean --all --status failed --older-than 1h
"""

from console_automation.core.text import counted
from console_automation.frontends.cli import arguments, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_FINISHED = ("completed", "failed", "cancelled", "interrupted")


def configure(parser: "ArgumentParser") -> None:
    """Say what `job clean` takes."""
    add = parser.add_argument
    add("-a", "--all", action="store_true", help="of every project")
    add("--older-than", type=arguments.duration, metavar="TIME", help="default: 24h; 0s: all")
    add("--status", choices=_FINISHED, action="append", help="only these; may be repeated")
    add("--keep", type=int, metavar="N", help="spare the newest N")
    arguments.take_json(parser)


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Remove them."""
    wanted: dict[str, Any] = {
        "project": None if given.all else arguments.here(),
        "maxAge": given.older_than,
        "statuses": given.status,
        "keepCount": given.keep,
    }
    options = arguments.present(wanted)
    view = client.call("console_cleanup_jobs", {"options": options})
    if streams.json:
        streams.result(view)
    else:
        streams.line(f"{counted(view['cleaned'], 'job')} removed, {view['remaining']} left in all")
    return outcome.DONE
