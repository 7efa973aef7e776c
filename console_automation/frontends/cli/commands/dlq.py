"""Dead letters: jobs of the cluster that were given up. Either no worker could begin it, or its worker is
lost, or it has failed as often as it may be tried. Without a command it lists them, newest first.

One that is run again is a new job, and is a dead letter no more.

Examples:
  job dlq
  job dlq show 01kb2x         why, and what each worker has said
  job dlq retry -w 01kb2x     run it again, for the same target, and wait for its end
"""

from console_automation.frontends.cli import arguments, cluster_tables, following, outcome
from console_automation.frontends.cli.commands import retry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_MOST = 1_000


def configure(parser: "ArgumentParser") -> None:
    """Say which commands there are."""
    parser.set_defaults(run=_list)
    arguments.take_json(parser)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=arguments.Parser)
    for name, run, help in (
        ("list", _list, "list them, newest first"),
        ("show", _show, "say why one was given up"),
        ("retry", retry.run, "run one again, for the same target"),
    ):
        example = "" if run is _list else " 01kb2x"
        shown = f"example:\n  {parser.prog} {name}{example}"
        command = commands.add_parser(name, help=help, description=help, epilog=shown)
        command.set_defaults(run=run)
        if run is not _list:
            command.add_argument("job", metavar="JOB", help=arguments.REFERENCE)
        if run is retry.run:
            following.configure(command)
        arguments.take_json(command)


def _list(given: "Namespace", client: "Client", streams: "Streams") -> int:
    options = {"cluster": "dead_letters", "limit": _MOST}
    listed = client.call("console_list_jobs", {"options": options})
    if streams.json:
        streams.result(listed)
    elif listed["jobs"]:
        cluster_tables.dead_letters(streams, listed["jobs"])
    else:
        streams.remark("no dead letters: the cluster has given nothing up")
    return outcome.DONE


def _show(given: "Namespace", client: "Client", streams: "Streams") -> int:
    job_id = arguments.job_of(client, given.job)["id"]
    result = client.call("console_get_job_status", {"jobId": job_id})
    if streams.json:
        streams.result(result)
    else:
        cluster_tables.dead_letter(streams, result["job"])
    return outcome.DONE
