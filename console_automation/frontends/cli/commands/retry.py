"""Run a finished job's command again, as a new job with a new id; the old record is kept.

Examples:
  job retry build
  job retry -f build          and follow it
"""

from console_automation.frontends.cli import arguments, following, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


def configure(parser: "ArgumentParser") -> None:
    """Say what `job retry` takes."""
    parser.add_argument("job", metavar="JOB", help=arguments.REFERENCE)
    following.configure(parser)
    arguments.take_json(parser)


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Submit it again."""
    job_id = arguments.job_of(client, given.job)["id"]
    started = client.call("console_retry_job", {"jobId": job_id}, once=True)
    if streams.json and not (given.wait or given.follow):
        streams.result(started)
        return outcome.DONE
    return following.started(given, client, streams, started["job"])
