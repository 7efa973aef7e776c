"""The command line around the daemon. (`console-automation mcp` does not come this way.)"""

import json
import os
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any, TextIO

import click

from console_automation import __version__, config, paths
from console_automation.errors import BadRequest
from console_automation.frontends import launch


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="console-automation")
def cli() -> None:
    """Background jobs for AI agents that survive the client, the daemon and their crashes.

    \b
    For an AI client, over stdio:     console-automation mcp
    Over HTTP on this machine:        console-automation serve --http
    Is everything in order:           console-automation doctor

    The daemon starts by itself when it is needed. State is in ~/.console-automation, or where
    CONSOLE_AUTOMATION_HOME says.
    """


@cli.command(name="mcp")
def mcp_command() -> None:
    """Serve MCP on stdin and stdout, through the daemon."""
    from console_automation.frontends import bridge

    sys.exit(bridge.main(paths.home()))


@cli.group(invoke_without_command=True)
@click.pass_context
def daemon(context: click.Context) -> None:
    """Run, inspect or stop the daemon (without a subcommand: run it here)."""
    if context.invoked_subcommand is None:
        _run_daemon({}, None)


@daemon.command(name="run")
@click.option("--ready-fd", type=int, hidden=True)
def daemon_run(ready_fd: int | None) -> None:
    """Run the daemon in the foreground."""
    _run_daemon({}, ready_fd)


@daemon.command(name="status")
def daemon_status() -> None:
    """Say whether a daemon is running, and which."""
    answer = _ask_running({"ask": "status"})
    if answer is None:
        click.echo(f"no daemon is running for {paths.home()}")
        sys.exit(1)
    click.echo(json.dumps(answer, indent=2))


@daemon.command(name="stop")
def daemon_stop() -> None:
    """End the daemon and wait until it has.

    Running jobs go on, unless the setting on_shutdown says otherwise.
    """
    line = launch.greet(paths.home(), "api")
    if line is None:
        click.echo(f"no daemon is running for {paths.home()}")
        return
    with line:
        launch.exchange(line, {"ask": "stop"})
        while line.recv(1):  # it hangs up when everything is closed
            pass
    click.echo("the daemon has ended; running jobs go on, unless on_shutdown says otherwise")


@cli.command()
@click.option("--http", is_flag=True, help="Serve MCP, /metrics and /healthz over HTTP.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.")
def serve(http: bool, port: int | None) -> None:
    """Run the daemon in the foreground, with HTTP.

    The address and the bearer token's file are printed at the start.
    """
    if not http:
        raise click.UsageError(
            "say --http; without it, `console-automation daemon` is what you want"
        )
    overrides: dict[str, Any] = {"http": True}
    if port is not None:
        overrides["http_port"] = port
    click.echo(f"token: {paths.home()}/http-token", err=True)
    _run_daemon(overrides, None)


def _run_daemon(overrides: dict[str, Any], ready_fd: int | None) -> None:
    from console_automation.frontends import daemon as runner

    sys.exit(runner.run(Path(paths.home()), overrides, ready=ready_fd))


@cli.command()
def metrics() -> None:
    """Print the daemon's figures in Prometheus's text format."""
    click.echo(_ask({"ask": "metrics"})["text"], nl=False)


@cli.command()
@click.argument("session")
@click.argument("file", type=click.File("w", encoding="ascii"), default="-")
def record(session: str, file: TextIO) -> None:
    """Write what a session has printed so far as an asciicast, into FILE or to the output.

    Play it with `asciinema play -i 2 FILE`.
    """
    with launch.connect(paths.home(), "api") as line:
        for answer in launch.exchange_many(line, {"ask": "recording", "sessionId": session}):
            if "error" in answer:
                raise click.ClickException(answer["error"])
            file.write(answer.get("line", ""))


@cli.command()
def doctor() -> None:
    """Check what the product needs of this machine and say what is missing."""
    problems = 0
    for name, good, remark in _examine(paths.home()):
        mark = click.style("ok  ", fg="green") if good else click.style("BAD ", fg="red")
        problems += not good
        click.echo(f"{mark} {name}: {remark}")
    sys.exit(1 if problems else 0)


def _examine(home: str) -> list[tuple[str, bool, str]]:
    """Return what was looked at: name, whether it is in order, and what was seen."""
    return [
        ("python", sys.version_info >= (3, 11), sys.version.split()[0]),
        ("state directory", *_state_of(home)),
        ("disk", *_space_of(home)),
        ("socket", len(os.fsencode(paths.shim_socket(home))) < 104, paths.daemon_socket(home)),
        ("sqlite", sqlite3.sqlite_version_info >= (3, 37), sqlite3.sqlite_version),
        ("orphans", *_subreaper()),
        ("signals", *_pidfd()),
        ("database", *_database(home)),
        ("settings", *_settings_of(home)),
        ("daemon", *_daemon_of(home)),
    ]


def _state_of(home: str) -> tuple[bool, str]:
    try:
        paths.make_private(home)
    except OSError as error:
        return False, str(error)
    return True, home


def _settings_of(home: str) -> tuple[bool, str]:
    try:
        config.load(Path(home))
    except BadRequest as error:
        return False, error.message
    return True, f"as in {home}/config.toml and the environment"


def _space_of(home: str) -> tuple[bool, str]:
    free = shutil.disk_usage(home if os.path.isdir(home) else os.path.dirname(home)).free
    return free > 64 << 20, f"{free >> 20} MiB free"


def _subreaper() -> tuple[bool, str]:
    if sys.platform == "linux":
        return True, "every descendant of a job is found and ended"
    return False, (
        "this system has no subreapers: a process that leaves its job's process group is not found"
    )


def _pidfd() -> tuple[bool, str]:
    if hasattr(os, "pidfd_open"):
        return True, "sent through pidfds, a reused pid cannot be hit"
    return True, "sent by pid after a check (no pidfds here)"


def _database(home: str) -> tuple[bool, str]:
    path = Path(home) / "jobs.db"
    if not path.exists():
        return True, "none yet"
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        connection.close()
    except sqlite3.Error as error:
        return False, str(error)
    return verdict == "ok", str(verdict)


def _daemon_of(home: str) -> tuple[bool, str]:
    try:
        answer = _ask_running({"ask": "status"})
    except launch.DaemonUnavailable as error:
        return False, str(error)
    if answer is None:
        return True, "not running; it starts when it is needed"
    same = answer["version"] == __version__
    remark = f"pid {answer['pid']}, version {answer['version']}"
    return same, remark if same else f"{remark}, but this program is {__version__}: restart it"


def _ask(request: dict[str, Any]) -> dict[str, Any]:
    """Ask the daemon, starting it if need be."""
    with launch.connect(paths.home(), "api") as line:
        return launch.exchange(line, request)


def _ask_running(request: dict[str, Any]) -> dict[str, Any] | None:
    """Ask the daemon if one is running."""
    line = launch.greet(paths.home(), "api")
    if line is None:
        return None
    with line:
        return launch.exchange(line, request)


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        return int(cli(standalone_mode=False) or 0)
    except launch.DaemonUnavailable as error:
        click.echo(f"console-automation: {error}", err=True)
        return 4
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    except OSError as error:
        os.write(2, f"console-automation: {error}\n".encode())
        return 1
