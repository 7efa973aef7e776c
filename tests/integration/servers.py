"""Real daemons for tests: on a state directory of their own, ended with everything they started."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console_automation.frontends import launch
from tests.waiting import PATIENCE, until_now

PROGRAM = [sys.executable, "-m", "console_automation"]
_CALM = {"max_load_per_cpu": 0, "max_memory_percent": 0, "kill_grace_ms": 500}


@dataclass(frozen=True, slots=True)
class Server:
    """A running daemon. `url` and `token` are empty when it serves no HTTP."""

    home: Path
    pid: int
    url: str = ""
    token: str = ""

    def ask(self, what: str, **more: Any) -> dict[str, Any]:
        """Ask the daemon over its own protocol, as the command line does."""
        return ask(self.home, {"ask": what, **more})

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Carry out an operation over the daemon's own protocol and return its view."""
        answer = ask(self.home, {"operation": operation, "arguments": arguments})
        view: dict[str, Any] = answer["view"]
        return view

    def totals(self) -> int:
        """Return how many jobs are on record."""
        total: int = self.call("console_get_job_metrics")["metrics"]["totalJobs"]
        return total


def ask(home: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Put one question to the daemon of a state directory, once somebody has started it."""
    with until_now(lambda: _dialled(home), "a daemon that answers") as line:
        return launch.exchange(line, request)


def _dialled(home: Path) -> socket.socket | None:
    try:
        return launch.greet(str(home), "api")
    except launch.DaemonSilent:
        return None


def configure(home: Path, **settings: Any) -> None:
    """Write the settings that every daemon on this state directory, new or not, will read."""
    home.mkdir(mode=0o700, exist_ok=True)
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in {**_CALM, **settings}.items()]
    (home / "config.toml").write_text("".join(lines), encoding="utf-8")


def environment(home: Path) -> dict[str, str]:
    """Return the environment for programs that are to use this state directory."""
    return {**os.environ, "CONSOLE_AUTOMATION_HOME": str(home)}


@contextmanager
def serving(home: Path, *, http: bool = False, **settings: Any) -> Iterator[Server]:
    """Run a daemon as the command line would, until the context is left."""
    if http:
        settings = {"http": True, "http_port": 0, **settings}
    configure(home, **settings)
    process = subprocess.Popen(
        [*PROGRAM, "daemon"], env=environment(home), stderr=subprocess.DEVNULL
    )
    try:
        yield until_now(lambda: _ready(home, process), "the daemon")
    finally:
        process.terminate()
        try:
            # 1 is the code of a daemon that could not end, and had to be ended.
            assert process.wait(PATIENCE) != 1, (home / "daemon.log").read_text()
        finally:
            process.kill()
            process.wait()
            end_everything(home)


def _ready(home: Path, process: subprocess.Popen[bytes]) -> Server | None:
    assert process.poll() is None, (home / "daemon.log").read_text()
    line = _dialled(home)
    if line is None:
        return None
    with line:
        status = launch.exchange(line, {"ask": "status"})
    token = (home / "http-token").read_text().strip() if status["http"] else ""
    return Server(home, status["pid"], status["http"] or "", token)


def processes_of(home: Path) -> list[int]:
    """Return every process that belongs to a state directory: daemon, launcher, shims, jobs."""
    runs = {path.name for path in (home / "runs").glob("*")}
    marks = [os.fsencode(home), *(f"CONSOLE_AUTOMATION_RUN={run}".encode() for run in runs)]
    others = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in others if pid != os.getpid() and _belongs(pid, marks)]


def _belongs(pid: int, marks: list[bytes]) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        words += Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return any(mark in words for mark in marks)


def end_everything(home: Path) -> None:
    """Kill what is left of a state directory's processes."""

    def none_left() -> bool:
        left = processes_of(home)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    until_now(none_left, f"the end of every process of {home}")
