"""The workers of the cluster: the machines that take jobs with a target. Without a command it lists them.

A worker that is cordoned takes no more jobs; those it has go on. Draining is the same, and waits until it
has none: then it can be stopped and nothing is cut off. One that is gone for good can be forgotten.

Examples:
  job workers                          who is there, with labels and slots
  job workers drain web-1              take it out of service, and wait
  job workers uncordon web-1           have it take jobs again
  job workers --json | jq -r '.workers[] | select(.status == "live").host'
"""

import time

from console_automation.frontends.cli import arguments, cluster_tables, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_STEP_MS = 1_000  #: how often the progress line is renewed
_LONG_MS = 45_000


def configure(parser: "ArgumentParser") -> None:
    """Say which commands there are."""
    parser.set_defaults(run=_list)
    arguments.take_json(parser)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=arguments.Parser)
    for name, run, help in (
        ("list", _list, "list them, by host"),
        ("drain", _drain, "have one take no more jobs, and wait until it has none"),
        ("cordon", _change, "have one take no more jobs; those it has go on"),
        ("uncordon", _change, "have one take jobs again"),
        ("forget", _change, "drop one that is unreachable, until it comes back"),
    ):
        example = "" if run is _list else " web-1"
        shown = f"example:\n  {parser.prog} {name}{example}"
        command = commands.add_parser(name, help=help, description=help, epilog=shown)
        command.set_defaults(run=run, action=name)
        if run is not _list:
            command.add_argument("host", metavar="HOST", help="a worker's host name")
        if run is _drain:
            take = command.add_argument
            take("-t", "--timeout", type=arguments.duration, metavar="TIME", help="wait no longer")
        arguments.take_json(command)


def _list(given: "Namespace", client: "Client", streams: "Streams") -> int:
    listed = client.call("console_list_workers", {})
    if streams.json:
        streams.result(listed)
    elif listed["workers"]:
        cluster_tables.workers(streams, listed["workers"])
    else:
        streams.remark(
            "no workers; `console-automation worker` starts one on a machine of the cluster"
        )
    return outcome.DONE


def _change(given: "Namespace", client: "Client", streams: "Streams") -> int:
    _say(streams, _ask(client, given, wait_ms=0))
    return outcome.DONE


def _drain(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Wait as long as it takes; exit code 124 when the time is up before."""
    began = time.monotonic()
    try:
        while True:
            waited = (time.monotonic() - began) * 1000
            left = _LONG_MS if given.timeout is None else max(0.0, given.timeout - waited)
            step = _STEP_MS if streams.is_watched else _LONG_MS
            result = _ask(client, given, wait_ms=min(step, left))
            if result["drained"] or left == 0:
                break
            streams.progress(f"{_line(result)}; waiting for it to be empty")
    except KeyboardInterrupt:
        streams.remark(
            f"\nit stays cordoned, its jobs go on. Take it back: job workers uncordon {given.host}"
        )
        raise
    _say(streams, result)
    return outcome.DONE if result["drained"] else outcome.TIMED_OUT


def _ask(client: "Client", given: "Namespace", *, wait_ms: float) -> "dict[str, Any]":
    asked = {"host": given.host, "action": given.action, "waitMs": wait_ms}
    return client.call("console_drain_worker", asked)


def _say(streams: "Streams", result: "dict[str, Any]") -> None:
    if streams.json:
        streams.result(result)
    else:
        streams.line(_line(result))


def _line(result: "dict[str, Any]") -> str:
    from console_automation.operations.cluster_texts import worker_line

    return worker_line(result["worker"])
