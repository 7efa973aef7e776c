"""Check what the product needs of this machine, and say what is missing.

Examples:
  job doctor
  job doctor --json | jq '.checks[] | select(.ok == false)'
"""

import os
import shutil
import sqlite3
import sys
from pathlib import Path

from console_automation import __version__, config, paths
from console_automation.errors import BadRequest
from console_automation.frontends import launch
from console_automation.frontends.cli import arguments, outcome, service
from console_automation.frontends.cli.commands.daemon import ask_running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


_LOGIND = (
    "/usr/lib/systemd/logind.conf.d",
    "/etc/systemd/logind.conf",
    "/etc/systemd/logind.conf.d",
)


def configure(parser: "ArgumentParser") -> None:
    """Say what `doctor` takes."""
    arguments.take_json(parser)


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Print a line per thing; 1 when one is missing."""
    seen = _examine(client.home)
    healthy = all(good for _, good, _ in seen)
    if streams.json:
        checks = [{"name": name, "ok": good, "remark": remark} for name, good, remark in seen]
        streams.result({"ok": healthy, "checks": checks})
    for name, good, remark in () if streams.json else seen:
        mark = streams.coloured("ok  ", "green") if good else streams.coloured("BAD ", "red")
        streams.line(f"{mark} {name}: {remark}")
    return outcome.DONE if healthy else outcome.REFUSED


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
        ("job", *_program()),
        ("logout", *_logout()),
        *_cluster_of(home),
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


def _cluster_of(home: str) -> list[tuple[str, bool, str]]:
    try:
        settings = config.load(Path(home))
    except BadRequest:
        return []  # it is said of the settings
    if not settings.nats_url:
        return []
    from console_automation.joining import examine_cluster

    return examine_cluster(settings)


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
    remark = f"pid {answer['pid']}, version {answer['version']}"
    if answer["version"] != __version__:
        return False, f"{remark}, but this program is {__version__}: job daemon restart"
    python = _interpreter_of(answer["pid"])
    if python is None or os.path.dirname(python) == os.path.dirname(sys.executable):
        return True, remark
    return True, f"{remark}, of another installation: {python}"


def _interpreter_of(pid: int) -> str | None:
    """Return the Python that a process was started with; None where the system does not tell."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0])
    except OSError:
        return None


def _program() -> tuple[bool, str]:
    """Whether who says `job`, a person, a script or an agent, means this installation."""
    found = shutil.which("job")
    here = os.path.dirname(sys.executable)
    if found is None:
        return True, f"not on PATH; it is {here}/job"
    if os.path.dirname(os.path.realpath(found)) == os.path.realpath(here):
        return True, found
    try:
        with open(found, "rb") as file:
            called = os.fsdecode(file.readline()).removeprefix("#!").split()
    except OSError as error:
        return False, str(error)
    if called and os.path.dirname(called[0]) == here:
        return True, found
    return False, f"{found} comes first on PATH, and is not this installation's {here}/job"


def _logout() -> tuple[bool, str]:
    """Whether jobs outlive the user's last logout."""
    if not os.path.isdir("/run/systemd/system"):
        return True, "no systemd is at work here that could end processes"
    import getpass

    if os.path.exists(f"/var/lib/systemd/linger/{getpass.getuser()}"):
        return True, "daemon and jobs go on (linger)"
    if os.path.exists(service.place()):
        return False, "ends the service, and its jobs with it: loginctl enable-linger"
    if _kills_at_logout():
        return False, "ends daemon and jobs (KillUserProcesses=yes): loginctl enable-linger"
    return True, "daemon and jobs go on (KillUserProcesses=no)"


def _kills_at_logout() -> bool:
    """What the files of systemd-logind say last; its own default is no."""
    kills = False
    for place in map(Path, _LOGIND):
        for path in sorted(place.glob("*.conf")) if place.is_dir() else [place]:
            try:
                lines = path.read_text("utf-8", "replace").splitlines()
            except OSError:
                continue
            for line in lines:
                name, _, value = line.partition("=")
                if name.strip() == "KillUserProcesses":
                    kills = value.strip().lower() in ("yes", "true", "on", "1")
    return kills
