"""Start, stop and inspect the daemon. It starts by itself when a command needs it, and running jobs do
not mind its end.

Examples:
  job daemon status
  job daemon restart          after an upgrade, or a change of the settings
"""

from pathlib import Path

from console_automation import paths
from console_automation.frontends import launch
from console_automation.frontends.cli import arguments, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


def configure(parser: "ArgumentParser") -> None:
    """Say which commands there are."""
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=arguments.Parser)
    run_here = commands.add_parser("run", help="run it in the foreground (also: without a command)")
    run_here.add_argument("--ready-fd", type=int, help=arguments.HIDDEN)
    for each in (parser, run_here):
        each.set_defaults(run=_run_here)
    parser.set_defaults(ready_fd=None)
    for name, run, help in (
        ("start", _start, "start it, unless it runs"),
        ("stop", _stop, "end it and wait until it has; running jobs go on"),
        ("restart", _restart, "end it and start the next one; running jobs go on"),
        ("status", _status, "say which one runs; exit code 1 when none does"),
    ):
        commands.add_parser(name, help=help, description=help).set_defaults(run=run)


def _run_here(given: "Namespace", client: "Client", streams: "Streams") -> int:
    from console_automation.frontends import daemon

    return daemon.run(Path(paths.home()), {}, ready=given.ready_fd)


def _start(given: "Namespace", client: "Client", streams: "Streams") -> int:
    streams.line(f"the daemon runs, pid {client.ask({'ask': 'status'})['pid']}")
    return outcome.DONE


def _status(given: "Namespace", client: "Client", streams: "Streams") -> int:
    answer = ask_running({"ask": "status"})
    if answer is None:
        streams.line(f"no daemon is running for {paths.home()}")
        return outcome.REFUSED
    import json

    streams.line(json.dumps(answer, indent=2))
    return outcome.DONE


def _stop(given: "Namespace", client: "Client", streams: "Streams") -> int:
    line = launch.greet(paths.home(), "api")
    if line is None:
        streams.line(f"no daemon is running for {paths.home()}")
        return outcome.DONE
    with line:
        launch.exchange(line, {"ask": "stop"})
        while line.recv(1):  # it hangs up when everything is closed
            pass
    streams.line("the daemon has ended; running jobs go on, unless on_shutdown says otherwise")
    return outcome.DONE


def _restart(given: "Namespace", client: "Client", streams: "Streams") -> int:
    _stop(given, client, streams)
    return _start(given, client, streams)


def ask_running(request: "dict[str, Any]") -> "dict[str, Any] | None":
    """Ask the daemon if one is running. Raises DaemonUnavailable."""
    line = launch.greet(paths.home(), "api")
    if line is None:
        return None
    with line:
        return launch.exchange(line, request)
