"""Start, stop and inspect the daemon, or have the system start it. It starts by itself when a command
needs it, and running jobs do not mind its end.

Examples:
  job daemon status
  job daemon restart          after an upgrade, or a change of the settings
  job daemon logs -f
  job daemon install          as a service of systemd or launchd
"""

from pathlib import Path

from console_automation import paths
from console_automation.frontends import launch
from console_automation.frontends.cli import arguments, outcome
from console_automation.frontends.cli.outcome import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


def configure(parser: "ArgumentParser") -> None:
    """Say which commands there are."""
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=arguments.Parser)
    parser.set_defaults(run=_run_here, ready_fd=None)  # without a command of its own
    known = {}
    for name, run, help, example in (
        ("run", _run_here, "run it in the foreground, as without a command", ""),
        ("start", _start, "start it, unless it runs", ""),
        ("stop", _stop, "end it and wait until it has ended; running jobs go on", ""),
        ("restart", _restart, "end it and start the next one; running jobs go on", ""),
        ("status", _status, "say which one runs; exit code 1 when none does", "--json | jq .pid"),
        ("logs", _logs, "show what it has written into its log", "--tail 20 -f"),
        ("install", _install, "write a unit for systemd, or an agent for launchd", "--print"),
        ("uninstall", _uninstall, "remove what install has written", ""),
    ):
        known[name] = commands.add_parser(
            name,
            help=help,
            description=help,
            epilog=f"example:\n  {parser.prog} {name} {example}".rstrip(),
        )
        known[name].set_defaults(run=run)
    known["run"].add_argument("--ready-fd", type=int, help=arguments.HIDDEN)
    arguments.take_json(known["status"])
    known["logs"].add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    known["logs"].add_argument("--tail", type=int, metavar="N", help="begin with the last N lines")
    known["install"].add_argument("--print", action="store_true", help="show it, and write nothing")


def _run_here(given: "Namespace", client: "Client", streams: "Streams") -> int:
    from console_automation.frontends import daemon

    daemon.main(Path(paths.home()), {}, ready=given.ready_fd)


def _start(given: "Namespace", client: "Client", streams: "Streams") -> int:
    streams.line(f"the daemon runs, pid {client.ask({'ask': 'status'})['pid']}")
    return outcome.DONE


def _status(given: "Namespace", client: "Client", streams: "Streams") -> int:
    answer = ask_running({"ask": "status"})
    if streams.json:
        streams.result({"running": answer is not None, "home": client.home, **(answer or {})})
    elif answer is None:
        streams.line(f"no daemon is running for {client.home}")
    else:
        others = answer["connections"] - 1
        streams.line(f"the daemon runs, pid {answer['pid']}, version {answer['version']}")
        streams.line(f"  state    {answer['home']}")
        streams.line(f"  clients  {others or 'none but this'}")
        streams.line(f"  http     {answer['http'] or 'off'}")
    return outcome.REFUSED if answer is None else outcome.DONE


def _stop(given: "Namespace", client: "Client", streams: "Streams") -> int:
    line = launch.greet(client.home, "api")
    if line is None:
        streams.line(f"no daemon is running for {client.home}")
        return outcome.DONE
    with line:
        try:
            launch.exchange(line, {"ask": "stop"})
            while line.recv(1):  # it hangs up when everything is closed
                pass
        except (launch.DaemonUnavailable, ConnectionError):
            pass  # it has ended before it could say so
    streams.line("the daemon has ended; running jobs go on, unless on_shutdown says otherwise")
    return outcome.DONE


def _restart(given: "Namespace", client: "Client", streams: "Streams") -> int:
    from console_automation.frontends.cli import service

    _stop(given, client, streams)
    _start(given, client, streams)
    service.restarting(streams)
    return outcome.DONE


def _logs(given: "Namespace", client: "Client", streams: "Streams") -> int:
    from console_automation.frontends.cli import daemon_log

    if given.tail is not None and given.tail < 0:
        raise Failure("--tail: a number of lines, 0 or more", outcome.USAGE)
    path = f"{client.home}/daemon.log"
    log = daemon_log.show(streams, path, given.tail)
    if given.follow:
        daemon_log.follow(streams, path, log)
    elif log is None:
        raise Failure(f"there is no log yet: {path}")
    return outcome.DONE


def _install(given: "Namespace", client: "Client", streams: "Streams") -> int:
    from console_automation.frontends.cli import service

    return service.install(streams, client.home, write=not given.print)


def _uninstall(given: "Namespace", client: "Client", streams: "Streams") -> int:
    from console_automation.frontends.cli import service

    return service.uninstall(streams)


def ask_running(request: "dict[str, Any]") -> "dict[str, Any] | None":
    """Ask the daemon if one is running. Raises DaemonUnavailable."""
    line = launch.greet(paths.home(), "api", launch.LOOK_SECONDS)
    if line is None:
        return None
    with line:
        return launch.exchange(line, request)
