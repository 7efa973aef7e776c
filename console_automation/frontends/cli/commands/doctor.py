"""Check what the product needs of this machine, and say what is missing.

Examples:
  job doctor
"""

import os
import shutil
import sqlite3
import sys
from pathlib import Path

from console_automation import __version__, config, paths
from console_automation.errors import BadRequest
from console_automation.frontends import launch
from console_automation.frontends.cli.commands.daemon import ask_running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


def configure(parser: "ArgumentParser") -> None:
    """It takes nothing."""


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Print a line per thing; 1 when one is missing."""
    problems = 0
    for name, good, remark in _examine(paths.home()):
        mark = streams.coloured("ok  ", "green") if good else streams.coloured("BAD ", "red")
        problems += not good
        streams.line(f"{mark} {name}: {remark}")
    return 1 if problems else 0


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
        answer = ask_running({"ask": "status"})
    except launch.DaemonUnavailable as error:
        return False, str(error)
    if answer is None:
        return True, "not running; it starts when it is needed"
    same = answer["version"] == __version__
    remark = f"pid {answer['pid']}, version {answer['version']}"
    return same, remark if same else f"{remark}, but this program is {__version__}: restart it"
