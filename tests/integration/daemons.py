"""Daemons to be killed: real ones, each in a process of its own, forked from a warm one.

They do what `console-automation daemon run` does, but for the MCP server, which nobody here talks to:
without it, and without a fresh interpreter's imports, a daemon is there in a tenth of the time, so that
a test can kill them by the dozen.
"""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil

from console_automation.errors import from_code
from console_automation.frontends import daemon as runner
from console_automation.frontends import launch
from console_automation.frontends.launch import DaemonUnavailable
from tests.integration.servers import configure, end_everything
from tests.integration.warm import WARM
from tests.waiting import PATIENCE, until_now

_ASKING_MS = 1000  # of one call that waits for a job's end

Serve = Callable[[Path], int]


class Caller:
    """A client of whatever daemon serves a state directory; it outlives each of them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._line: socket.socket | None = None

    def dial(self) -> bool:
        """Whether a daemon answers."""
        if self._line is None:
            with contextlib.suppress(launch.DaemonSilent):
                self._line = launch.greet(str(self.home), "api")
        return self._line is not None

    def hang_up(self) -> None:
        """Forget the connection."""
        if self._line:
            self._line.close()
            self._line = None

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Put one question. Raises DaemonUnavailable when the daemon dies over it."""
        try:
            if not self.dial() or self._line is None:
                raise DaemonUnavailable("nobody listens")
            return launch.exchange(self._line, dict(request))
        except OSError as error:
            self.hang_up()
            raise DaemonUnavailable(str(error)) from error
        except DaemonUnavailable:
            self.hang_up()
            raise

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Carry out an operation and return its view. Raises what it was refused with."""
        answer = self.ask({"operation": operation, "arguments": arguments})
        view: dict[str, Any] = answer["view"]
        if answer["isError"]:
            raise from_code(view["code"], view["error"], view["details"])
        return view

    def submit(self, line: str, **options: Any) -> str:
        """Submit a shell line and return the acknowledged id."""
        options = {"shell": True, **options}
        job_id: str = self.call("console_execute_async", command=line, options=options)["jobId"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job as it stands."""
        job: dict[str, Any] = self.call("console_get_job_status", jobId=job_id)["job"]
        return job

    def running(self, job_id: str) -> dict[str, Any]:
        """Return a job once its command has been spawned."""

        def spawned() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if "pid" in job else None

        found = until_now(spawned, f"the start of {job_id}")
        assert found
        return found

    def over(self, job_id: str) -> dict[str, Any]:
        """Return a job once it is over."""

        def ended() -> dict[str, Any] | None:
            asked = {"jobId": job_id, "waitMs": _ASKING_MS}
            job: dict[str, Any] = self.call("console_get_job_status", **asked)["job"]
            return job if job["status"] not in ("pending", "running") else None

        found = until_now(ended, f"the end of {job_id}")
        assert found
        return found

    def output(self, job_id: str) -> str:
        """Return what a job has printed so far."""
        page = self.call("console_get_job_output", jobId=job_id, options={"maxBytes": 1 << 20})
        return "".join(chunk["content"] for chunk in page["output"])

    def cancel(self, job_id: str, **arguments: Any) -> None:
        """Ask for a job's end."""
        self.call("console_cancel_job", jobId=job_id, **arguments)

    def clean_up(self) -> int:
        """Remove every finished job and return how many there were."""
        cleaned: int = self.call("console_cleanup_jobs", options={"maxAge": 0})["cleaned"]
        return cleaned

    def metrics(self) -> dict[str, Any]:
        """Return the figures."""
        metrics: dict[str, Any] = self.call("console_get_job_metrics")["metrics"]
        return metrics


class Gate:
    """Something that jobs wait for, without a turn of the processor, until the test opens it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        os.mkfifo(path)

    @property
    def wait(self) -> str:
        """A shell line that ends once the gate is open: there is somebody who writes the FIFO."""
        return f": < {self._path}"

    def open(self) -> None:
        """Let everybody through, now and later."""
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_RDWR)

    def close(self) -> None:
        """Forget about it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Daemon(Caller):
    """The daemon of a state directory, one process after another, and a client of it."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.gate = Gate(home / "gate")
        self._process: ForkServerProcess | None = None

    @property
    def pid(self) -> int:
        assert self._process and self._process.pid
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def start(self, serve: "Serve | None" = None) -> None:
        """Start a daemon and return when it answers, or has died of what a test put into it."""
        arguments = (serve or serve_as_installed, self.home)
        self._process = WARM.Process(target=_in_own_session, args=arguments, daemon=True)
        self._process.start()
        until_now(lambda: self.dial() or not self.is_alive, "the daemon")

    def kill(self) -> None:
        """Have the daemon die as it stands."""
        os.kill(self.pid, signal.SIGKILL)
        assert self.join() == -signal.SIGKILL

    def terminate(self) -> None:
        """Ask the daemon to end."""
        os.kill(self.pid, signal.SIGTERM)

    def join(self) -> int:
        """Return the daemon's exit code once it has ended; minus the number of a signal."""
        assert self._process
        self._process.join(PATIENCE)
        code = self._process.exitcode
        assert code is not None, "the daemon does not end"
        self.hang_up()
        return code

    def restart(self) -> None:
        """Kill the daemon and start the next one."""
        self.kill()
        self.start()

    def launcher(self) -> psutil.Process:
        """Return the daemon's launcher."""
        (launcher,) = psutil.Process(self.pid).children()
        return launcher

    def shims(self) -> list[psutil.Process]:
        """Return the shims of this and of earlier daemons, idle or not."""
        everyone = psutil.process_iter(["name"])
        named = [each for each in everyone if each.info["name"] == "console-shim"]
        return [each for each in named if any(str(self.home) in word for word in _words(each))]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def serve_as_installed(home: Path) -> int:
    """Run a daemon in this process, as the command line does for one that nobody watches."""
    runner.main(home, {}, ready=os.open(os.devnull, os.O_WRONLY))


def serve_as_version(version: str, home: Path) -> int:
    """Run a daemon that takes itself for another release."""
    runner.__version__ = version  # type: ignore[attr-defined]
    return serve_as_installed(home)


def _in_own_session(serve: Serve, home: Path) -> None:
    os.setsid()
    runner.Daemon._load_mcp = _no_mcp  # type: ignore[method-assign]
    sys.exit(serve(home))


async def _no_mcp(daemon: runner.Daemon) -> None:
    return None


@contextmanager
def killable(home: Path, serve: Serve | None = None, **settings: Any) -> Iterator[Daemon]:
    """Start a daemon that the test may kill, and leave nothing of it behind."""
    configure(home, **settings)
    daemon = Daemon(home)
    try:
        daemon.start(serve)
        yield daemon
    finally:
        if daemon.is_alive:
            daemon.kill()
        daemon.hang_up()
        daemon.gate.close()
        end_everything(home)


def kill_the_daemon(daemon: Daemon) -> None:
    """Its launcher ends by itself then; the shims stay."""
    daemon.kill()


def kill_the_launcher(daemon: Daemon) -> None:
    """Leave the daemon without it."""
    daemon.launcher().kill()


def kill_both(daemon: Daemon) -> None:
    """Leave the shims alone with what they run."""
    launcher = daemon.launcher()
    launcher.suspend()  # or it would end by itself, because its daemon is gone
    daemon.kill()
    launcher.kill()
