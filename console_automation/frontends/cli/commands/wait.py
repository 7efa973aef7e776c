"""Wait until jobs are over, and exit with the job's own exit code.

Of several jobs: 0 when all have completed, else the code of the first that has not, in the order
given; so it is with the workers of one job that is for several. Exit code 124: the time was up. Ctrl-C
stops waiting; the jobs go on.

Examples:
  job wait build
  job wait -t 10m build tests     both, for ten minutes at most
  job wait --any build tests      until one of them is over
"""

from console_automation.frontends.cli import arguments, following, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


def configure(parser: "ArgumentParser") -> None:
    """Say what `job wait` takes."""
    add = parser.add_argument
    add("jobs", nargs="+", metavar="JOB", help=arguments.REFERENCE)
    add("--any", action="store_true", help="until one of them is over")
    add("-t", "--timeout", type=arguments.duration, metavar="TIME", help="for 30s, 5m, 1h at most")
    arguments.take_json(parser)


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Wait for them."""
    jobs = list(
        {job["id"]: job for job in (arguments.job_of(client, ref) for ref in given.jobs)}.values()
    )
    enough = 1 if given.any else len(jobs)
    jobs = following.wait_for(client, streams, jobs, enough=enough, limit_ms=given.timeout)
    over = [job for job in jobs if following.is_over(job)]
    if streams.json:
        unfinished = [job["id"] for job in jobs if job not in over]
        streams.result({"success": True, "jobs": jobs, "unfinished": unfinished})
    else:
        for job in jobs:
            streams.line(following.line_of(job))
    if len(over) < enough:
        return outcome.TIMED_OUT
    return next(filter(None, map(outcome.of_job, over)), outcome.DONE)
