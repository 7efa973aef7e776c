"""End jobs and every process they started: a polite signal first, after a grace SIGKILL for whatever
is left. A job that is over already is left as it is.

Examples:
  job stop build
  job stop --signal INT --grace 30s server
  job stop --active           everything that runs or waits in this project
"""

from console_automation.frontends.cli import arguments, outcome
from console_automation.frontends.cli.outcome import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_SIGNALS = ("TERM", "INT", "HUP", "QUIT", "KILL", "USR1", "USR2")
_PAGE = 1000


def configure(parser: "ArgumentParser") -> None:
    """Say what `job stop` takes."""
    add = parser.add_argument
    add("jobs", nargs="*", metavar="JOB", help=arguments.REFERENCE)
    add("--active", action="store_true", help="everything of this project that is not over")
    add("--signal", choices=_SIGNALS, default="TERM", help="the polite signal; default TERM")
    add("--grace", type=arguments.duration, metavar="TIME", help="until SIGKILL; default 5s")
    arguments.take_json(parser)


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """End them, one after the other."""
    if bool(given.jobs) == given.active:
        raise Failure("say which jobs, or --active for all of this project", outcome.USAGE)
    how: dict[str, Any] = {"signal": f"SIG{given.signal}"}
    if given.grace is not None:
        how["graceMs"] = given.grace
    for job_id in _active(client) if given.active else _named(client, given.jobs):
        view = client.call("console_cancel_job", {"jobId": job_id, **how})
        if streams.json:
            streams.result(view)
        else:
            streams.line(view["message"])
    return outcome.DONE


def _named(client: "Client", references: list[str]) -> list[str]:
    return [arguments.job_of(client, reference)["id"] for reference in references]


def _active(client: "Client") -> list[str]:
    options = {"project": arguments.here(), "status": "active", "limit": _PAGE}
    jobs = client.call("console_list_jobs", {"options": options})["jobs"]
    return [job["id"] for job in jobs]
