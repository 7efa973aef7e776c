"""Say how a job stands: what it is, why it waits or how it ended, what it cost. Without a job: how
the daemon and its queue stand.

Examples:
  job status build            a name
  job status 01kb2x           the beginning of an id
  job status --json build | jq .job.exitCode
  job status                  the whole system
"""

from console_automation.frontends.cli import arguments, cluster_tables, outcome, tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


def configure(parser: "ArgumentParser") -> None:
    """Say what `job status` takes."""
    parser.add_argument("job", nargs="?", metavar="JOB", help=arguments.REFERENCE)
    arguments.take_json(parser)


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Print how it stands."""
    if given.job is None:
        view = client.call("console_get_job_metrics", {})
        if streams.json:
            streams.result(view)
        else:
            tables.system(streams, client.ask({"ask": "status"}), view["metrics"])
        return outcome.DONE
    job = arguments.job_of(client, given.job)
    if "definition" in job or "target" in job:  # it may tell of itself, or its worker of it
        job = client.call("console_get_job_status", {"jobId": job["id"]})["job"]
    if streams.json:
        streams.result({"success": True, "job": job})
    else:
        tables.job(streams, job)
        if "children" in job:
            cluster_tables.children(streams, job["children"])
    return outcome.DONE
