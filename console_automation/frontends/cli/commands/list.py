"""List jobs, newest first: those of this project (the git root of the working directory).

Examples:
  job list                    this project's
  job list --all --active     everything that runs or waits, wherever it was started
  job list --status failed
  job list --cluster          those with a target, wherever they run
  job list --json | jq -r '.jobs[].id'
"""

from console_automation.frontends.cli import arguments, cluster_tables, outcome, tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

STATUSES = ("active", "pending", "running", "completed", "failed", "cancelled", "interrupted")


def configure(parser: "ArgumentParser") -> None:
    """Say what `job list` takes."""
    add = parser.add_argument
    add("-a", "--all", action="store_true", help="of every project")
    add("--cluster", action="store_true", help="those of the cluster, of every project")
    status = parser.add_mutually_exclusive_group()
    status.add_argument("--status", choices=STATUSES, help="only those with this status")
    status.add_argument(
        "--active",
        dest="status",
        action="store_const",
        const="active",
        help="only what runs or waits",
    )
    add("-s", "--session", metavar="SESSION", help="only those of this session")
    add("-n", "--name", help="only those of this name")
    arguments.take_pairs(parser, "--tag", help="only those with this tag; may be repeated")
    add("-l", "--limit", type=int, default=50, metavar="N", help="at most N; default 50")
    add("--cursor", metavar="ID", help="older than this; the nextCursor of --json")
    arguments.take_json(parser)


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Print the jobs."""
    wanted: dict[str, Any] = {
        "cluster": "jobs" if given.cluster else None,
        "project": None if given.all or given.cluster else arguments.here(),
        "status": given.status,
        "sessionId": given.session,
        "name": given.name,
        "tags": dict(given.tag),
        "limit": given.limit,
        "cursor": given.cursor,
    }
    options = arguments.present(wanted)
    listed = client.call("console_list_jobs", {"options": options})
    if streams.json:
        streams.result(listed)
        return outcome.DONE
    if listed["jobs"] and given.cluster:
        cluster_tables.jobs(streams, listed["jobs"])
    elif listed["jobs"]:
        tables.jobs(streams, listed["jobs"], projects=given.all)
    elif given.cluster:
        streams.remark("no jobs in the cluster; start one with `job run --target`")
    elif not given.all:
        streams.remark("no jobs in this project; `job list --all` shows those of all projects")
    else:
        streams.remark("no jobs; start one with `job run`")
    if "nextCursor" in listed:
        left = listed["total"] - len(listed["jobs"])
        streams.remark(
            f"{left} more: --limit {listed['total']}, or --cursor {listed['nextCursor']}"
        )
    return outcome.DONE
