"""Reaching the daemon, and starting it when it is not there. Standard library only, and little of it."""

import fcntl
import json
import os
import select
import signal
import socket
import sys
import time

from console_automation import __version__, paths
from console_automation.frontends.handshake import PROTOCOL

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing is slow to import, and this module starts the bridge
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

_START_SECONDS = 30.0
_ANSWER_SECONDS = 30.0
SILENT_SECONDS = (
    4.0  #: without an answer, after which it is looked whether the daemon answers at all,
)
LOOK_SECONDS = 6.0  #: and how long such a look may take


class DaemonUnavailable(Exception):
    """The daemon cannot be reached or started; the text says why."""


class DaemonSilent(DaemonUnavailable):
    """A daemon is alive and does not answer: it is starting, ending or stopped."""


def connect(home: str, kind: str, is_silent: "Callable[[], None] | None" = None) -> socket.socket:
    """Return a connection on which the daemon serves `kind`, starting the daemon if need be.

    The kinds are mcp, api, and cli, which is api for a person: jobs inherit more of the environment.
    While nothing comes of a daemon that listens, `is_silent` is called every few seconds.

    Raises DaemonUnavailable.
    """
    give_up = time.monotonic() + _START_SECONDS
    while time.monotonic() < give_up:
        line = dial(home) or (None if _is_in_a_run() else _start_and_dial(home))
        if line is not None:
            answer = _say_hello(line, kind, is_silent=is_silent)
            if answer and answer["ok"]:
                return line
            line.close()  # it ended between the accept and the answer, or is about to
            if answer and not answer.get("retiring"):
                raise DaemonUnavailable(str(answer["error"]))
        time.sleep(0.02)
    if _is_in_a_run():
        raise DaemonUnavailable(
            "no daemon is running, and one that is started inside of a job or a session would end with"
            " it: start it outside, with `job daemon start`"
        )
    raise DaemonUnavailable(
        silence_of(home)
        if _is_held(home)
        else f"no daemon answered within {_START_SECONDS:.0f} s; see {home}/daemon.log"
    )


def _is_in_a_run() -> bool:
    """Whether this process is part of a job or a session. What it starts ends with that: a daemon must
    not, nor the shims of other jobs, which the daemon's launcher starts."""
    return "CONSOLE_AUTOMATION_RUN" in os.environ


def dial(home: str) -> socket.socket | None:
    """Return a connection to the daemon of a state directory, None when there is none."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.connect(paths.daemon_socket(home))
    except OSError:
        line.close()
        return None
    return line


def greet(home: str, kind: str, patience: float = _ANSWER_SECONDS) -> socket.socket | None:
    """Return a connection to the daemon if one is running and understands us, without starting it.

    Raises DaemonUnavailable when one is running that does not serve us, DaemonSilent when it does not
    answer at all within `patience` seconds.
    """
    line = dial(home)
    answer = _say_hello(line, kind, patience) if line else None
    if answer and answer["ok"]:
        return line
    if line:
        line.close()
    if answer:
        raise DaemonUnavailable(str(answer["error"]))
    if _is_held(home):
        raise DaemonSilent(silence_of(home))
    return None


def silence_of(home: str) -> str:
    """Say that the daemon which holds a state directory does not answer, and what can be done."""
    try:
        with open(f"{home}/daemon.lock", encoding="utf-8") as lock:
            pid = int(json.load(lock)["pid"])
    except (OSError, ValueError, LookupError, TypeError):
        return (
            f"a daemon holds {home} but does not answer: it is just starting; see {home}/daemon.log"
        )
    return (
        f"the daemon, pid {pid}, holds {home} but does not answer: it is starting, ending or stopped."
        f" `kill -CONT {pid}` lets a stopped one go on; if it hangs, `kill -9 {pid}` ends it, while"
        f" jobs go on; see {home}/daemon.log"
    )


def _is_held(home: str) -> bool:
    """Whether a daemon lives, be it that it listens or not."""
    try:
        lock = os.open(f"{home}/daemon.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def exchange(
    line: socket.socket,
    request: "Mapping[str, Any]",
    is_silent: "Callable[[], None] | None" = None,
) -> "dict[str, Any]":
    """Send one request on an `api` connection and return the answer.

    While none comes, `is_silent` is called every few seconds: the daemon may be at work on it.

    Raises DaemonUnavailable when the daemon ends meanwhile.
    """
    line.sendall(json.dumps(request).encode("ascii") + b"\n")
    answer = bytearray()
    while not answer.endswith(b"\n"):
        while is_silent and not _hears(line, SILENT_SECONDS):
            is_silent()
        data = line.recv(1 << 20)
        if not data:
            raise DaemonUnavailable("the daemon ended while it was asked")
        answer += data
    result: dict[str, Any] = json.loads(answer)
    return result


def exchange_many(line: socket.socket, request: "Mapping[str, Any]") -> "Iterator[dict[str, Any]]":
    """Send one request on an `api` connection and yield its answers up to the one that is no `line`.

    Raises DaemonUnavailable when the daemon ends meanwhile.
    """
    line.sendall(json.dumps(request).encode("ascii") + b"\n")
    with line.makefile("rb") as answers:
        for each in answers:
            answer: dict[str, Any] = json.loads(each)
            yield answer
            if "line" not in answer:
                return
    raise DaemonUnavailable("the daemon ended while it was asked")


def has_hung_up(line: socket.socket) -> bool:
    """Whether the daemon at the other end of a connection has ended; asked between two questions."""
    return _hears(line, 0)


def _hears(line: socket.socket, seconds: float) -> bool:
    """Whether something comes within a time, be it the end."""
    return bool(select.select([line], [], [], seconds)[0])


def _say_hello(
    line: socket.socket,
    kind: str,
    patience: float = _ANSWER_SECONDS,
    is_silent: "Callable[[], None] | None" = None,
) -> "dict[str, Any] | None":
    hello = {
        "hello": "mcp" if kind == "mcp" else "api",
        "protocol": PROTOCOL,
        "version": __version__,
        "pid": os.getpid(),
        "cwd": _working_directory(),
        "environment": dict(os.environ),
        "commandLine": kind == "cli",
    }
    give_up = time.monotonic() + patience
    line.settimeout(patience)
    try:
        line.sendall(json.dumps(hello).encode("ascii") + b"\n")
        answer = bytearray()
        while is_silent and not _hears(line, SILENT_SECONDS):
            is_silent()
            if time.monotonic() > give_up:
                return None
        while not answer.endswith(b"\n"):
            byte = line.recv(1)  # what follows the line belongs to whoever uses the connection
            if not byte:
                return None
            answer += byte
    except OSError:
        return None
    line.settimeout(None)
    result: dict[str, Any] = json.loads(answer)
    return result


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return os.path.expanduser("~")


def _start_and_dial(home: str) -> socket.socket | None:
    """Start the daemon, unless somebody else is just doing that; one starter at a time."""
    try:
        paths.make_private(home)
        starting = os.open(f"{home}/start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DaemonUnavailable(f"the state directory cannot be used: {error}") from error
    try:
        fcntl.flock(starting, fcntl.LOCK_EX)
        line = dial(home)
        if line is None:
            _start(home)
            line = dial(home)
        return line
    finally:
        os.close(starting)


def _start(home: str) -> None:
    """Run the daemon in a session of its own and return when it is ready.

    Raises DaemonUnavailable with what it said when it could not start.
    """
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    log = os.open(f"{home}/daemon.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDWR)
    # -P: what lies in the client's working directory must not be taken for this package.
    argv = [sys.executable, "-P", "-m", "console_automation", "daemon", "run"]
    argv += ["--ready-fd", str(writer)]
    pid = os.posix_spawn(
        sys.executable,
        argv,
        {**os.environ, "CONSOLE_AUTOMATION_HOME": home},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, null, 0),
            (os.POSIX_SPAWN_DUP2, null, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ],
        setsid=True,
        setsigdef=[signal.SIGCHLD],
    )
    for fd in (writer, log, null):
        os.close(fd)
    said = b""
    limit = time.monotonic() + _START_SECONDS
    while not said.endswith(b"\n"):
        ready, _, _ = select.select([reader], [], [], max(0.0, limit - time.monotonic()))
        data = os.read(reader, 4096) if ready else b""
        if not data:
            break
        said += data
    os.close(reader)
    if said.strip() != b"ready":
        _reap(pid)
        why = said.decode("utf-8", "replace").strip() or f"see {home}/daemon.log"
        raise DaemonUnavailable(f"the daemon could not start: {why}")


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
