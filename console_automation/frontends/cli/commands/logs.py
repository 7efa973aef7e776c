"""Show what a job has printed, stdout and stderr in the order in which it came. Control sequences are
taken out, so that nothing a job prints can act on your terminal; --raw shows the bytes as they are.
Of a job on several workers each line has the worker's name before it.

Examples:
  job logs build                          all of it
  job logs --tail 50 -f build             the last 50 lines, then whatever comes
  job logs --grep 'error|warning' build   matching lines (RE2)
  job logs --since 10m --timestamps build
"""

from console_automation.frontends.cli import arguments, following, groups, moments, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


def configure(parser: "ArgumentParser") -> None:
    """Say what `job logs` takes."""
    add = parser.add_argument
    add("job", metavar="JOB", help=arguments.REFERENCE)
    add("-f", "--follow", action="store_true", help="go on until the job is over")
    add("--tail", type=int, metavar="N", help="begin with the last N lines")
    stream = parser.add_mutually_exclusive_group()
    for name in ("stdout", "stderr"):
        stream.add_argument(
            f"--{name}", dest="stream", action="store_const", const=name, help=f"only its {name}"
        )
    add("--since", metavar="TIME", help="what came since: 10m ago, or 2026-11-26T10:00:00Z")
    add("--grep", metavar="PATTERN", help="only lines that match (RE2)")
    add("-i", "--ignore-case", action="store_true", help="of the pattern")
    add("-C", "--context", type=int, metavar="N", help="lines around each match")
    add("--timestamps", action="store_true", help="put before each line when it came")
    add("--raw", action="store_true", help="bytes as they are, control sequences included")
    arguments.take_json(parser)


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Print it."""
    job = arguments.job_of(client, given.job)
    try:
        return _show(given, client, streams, job)
    except KeyboardInterrupt:
        if given.follow:
            following.detached(streams, [job["id"]])
        raise


def _show(
    given: "Namespace", client: "Client", streams: "Streams", job: "Mapping[str, Any]"
) -> int:
    if "children" in job and not given.raw:
        return groups.show(
            client,
            streams,
            job,
            lambda job_id: _options(given, client, job_id),
            follow=given.follow,
            timestamps=given.timestamps,
        )
    display = following.Display(streams, raw=given.raw, timestamps=given.timestamps)
    options = _options(given, client, job["id"])
    for page in following.pages(client, job["id"], options, follow=given.follow):
        display.show(page)
    return outcome.DONE


def _options(given: "Namespace", client: "Client", job_id: str) -> "dict[str, Any]":
    """Return which part of a job's output is wanted."""
    wanted: dict[str, Any] = {
        "tail": given.tail,
        "stream": given.stream,
        "grep": given.grep,
        "ignoreCase": given.ignore_case or None,
        "context": given.context,
        "raw": given.raw or None,
    }
    if given.since is not None:
        wanted["since"] = moments.sequence_before(client, job_id, given.since)
    return arguments.present(wanted)
