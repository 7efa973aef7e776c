"""One program on a Windows pseudo-terminal, through pywinpty, from its start to its exit.

A thread of its own starts the program, reads its terminal into the framed log and waits for its end;
what it has to tell, it tells on the event loop. pywinpty raises whatever it likes: nothing of that
comes through.
"""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import psutil

from console_automation.core.job import Cause, Command, Exit, OnOutputLimit, OutputCounts
from console_automation.shim.capture import STDOUT, Capture

log = logging.getLogger(__name__)

_READ_CHARACTERS = 65_536
_PAUSE = 0.01
_DRAIN_SECONDS = (
    0.5  #: without output after its end, until a terminal is closed that does not close
)
_GONE_SECONDS = 5.0
_NEVER = float("inf")
#: Without these hardly a program starts on Windows; they say nothing of the client.
_SYSTEM = ("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP")


class Listener(Protocol):
    """Who is told, on the event loop, what a terminal does."""

    def started(self, run_id: str, pid: int, at: float) -> None:
        """Its program runs."""
        ...

    def printed(self, run_id: str) -> None:
        """There is more output."""
        ...

    def exited(self, run_id: str, exit: Exit) -> None:
        """Its program has ended and its output is complete."""
        ...


class Terminal:
    """A program on a terminal."""

    def __init__(
        self, run_id: str, command: Command, directory: str, *, before: OutputCounts
    ) -> None:
        self._run_id = run_id
        self._command = command
        self._capture = Capture(
            directory,
            limit=command.output_limit,
            drop_newest=command.on_output_limit is not OnOutputLimit.DROP_OLDEST,
            printed=before.bytes,
            last_sequence=before.last_sequence,
        )
        self.counts = before
        self._environment = {
            **{name: os.environ[name] for name in _SYSTEM if name in os.environ},
            **command.environment,
        }
        self._process: Any = None
        self._root: psutil.Process | None = None  #: knows its program also when the pid is reused
        self._cause: Cause | None = None
        self._ending = threading.Lock()  #: held while its processes are ended
        self._deadline = _after(command.timeout)
        self._idle_at = _after(command.idle_timeout)
        self._heard_at = time.monotonic()
        self._closing = threading.Event()
        self.thread = threading.Thread(target=self._live, name=run_id, daemon=True)

    def start(self, listener: Listener, record: Callable[[Exit], None]) -> None:
        """Begin; `record` keeps the exit before anybody is told of it, in the terminal's thread."""
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._record = record
        self.thread.start()

    # -- what is asked of it -----------------------------------------------------------------

    def write(self, text: str) -> int | None:
        """Type; return the bytes accepted, None when the program is not there (yet, or any more)."""
        data = text.encode("utf-8", "replace")
        try:
            self._process.write(data.decode())
        except Exception as error:
            log.debug("%s takes no input: %s", self._run_id, error)
            return None
        self._idle_at = _after(self._command.idle_timeout)
        return len(data)

    def resize(self, cols: int, rows: int) -> bool:
        """Change the size; False when that cannot be done."""
        try:
            self._process.setwinsize(rows, cols)
        except Exception as error:
            log.debug("%s takes no size: %s", self._run_id, error)
            return False
        return True

    def end(self, cause: Cause) -> None:
        """End the program with all it started. Its exit will give this cause, if it lived until now."""
        with self._ending:
            if self._process is None or self._process.isalive():
                self._cause = self._cause or cause
            if self._root is not None:
                end_tree(self._root)

    def due(self) -> Cause | None:
        """Return why its end is due, once."""
        now = time.monotonic()
        if now >= self._deadline:
            self._deadline = _NEVER
            return Cause.TIMEOUT
        if now >= self._idle_at:
            self._idle_at = _NEVER
            return Cause.IDLE_TIMEOUT
        return None

    def is_stuck(self) -> bool:
        """Whether its program has ended and its terminal does not say so."""
        process = self._process
        is_quiet = time.monotonic() > self._heard_at + _DRAIN_SECONDS
        return process is not None and is_quiet and not process.isalive()

    def close(self) -> None:
        """Close the terminal, which ends whoever reads it."""
        if not self._closing.is_set():
            self._closing.set()
            with contextlib.suppress(Exception):
                self._process.close(force=True)

    # -- its thread --------------------------------------------------------------------------

    def _live(self) -> None:
        at = time.time()
        try:
            process = self._spawn()
        except Exception as error:
            self._exit(Exit(cause=Cause.SPAWN_ERROR, error=_said(error), ended_at=at), at)
            return
        self._tell(self._listener.started, process.pid, at)
        with self._ending:
            self._process = process
            with contextlib.suppress(psutil.Error):
                self._root = psutil.Process(process.pid)
            if self._cause is not None and self._root is not None:
                end_tree(self._root)
        self._read(process)
        while process.isalive():
            time.sleep(_PAUSE)
        with self._ending:  # whoever is ending the others is waited for
            exit = Exit(
                cause=self._cause or Cause.EXIT,
                code=_code(process.exitstatus),
                ended_at=time.time(),
            )
        self._exit(exit, at)
        self.close()

    def _spawn(self) -> Any:
        import winpty  # on Windows only

        command, size = self._command, self._command.terminal
        assert size is not None
        return winpty.PtyProcess.spawn(
            [command.executable, *command.argv[1:]],
            cwd=command.cwd,
            env=self._environment,
            dimensions=(size.rows, size.cols),
        )

    def _read(self, process: Any) -> None:
        """Read until the terminal is closed."""
        while True:
            try:
                text = process.read(_READ_CHARACTERS)
            except EOFError:
                return
            except Exception as error:
                # A read that brings nothing may stumble inside pywinpty: that is not the end.
                if self._closing.is_set() or not process.isalive():
                    return
                log.debug("reading %s failed: %s", self._run_id, error)
                time.sleep(_PAUSE)
                continue
            if text:
                self._take(text)

    def _take(self, text: str) -> None:
        self._capture.take(STDOUT, text.encode("utf-8", "replace"), time.time())
        self._heard_at = time.monotonic()
        self._idle_at = _after(self._command.idle_timeout)
        self._count()
        self._tell(self._listener.printed)
        if self._capture.overflowed and self._command.on_output_limit is OnOutputLimit.KILL:
            self.end(Cause.OUTPUT_LIMIT)

    def _count(self) -> None:
        capture = self._capture
        self.counts = OutputCounts(
            bytes=capture.printed,
            dropped_bytes=capture.dropped,
            last_sequence=capture.last_sequence,
        )

    def _exit(self, exit: Exit, started_at: float) -> None:
        """Complete the output, put the exit on record, then tell."""
        self._capture.finish(time.time())
        self._count()
        exit = replace(exit, started_at=started_at, output=self.counts)
        self._record(exit)
        self._tell(self._listener.exited, exit)

    def _tell(self, what: Callable[..., None], *about: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(what, self._run_id, *about)
        except RuntimeError:
            log.info("nobody hears what becomes of %s: the loop is closed", self._run_id)


def end_tree(root: psutil.Process) -> None:
    """Freeze a process and all that descend from it until a walk finds nobody new, then kill them."""
    frozen: dict[psutil.Process, None] = {}
    while fresh := [each for each in _family(root) if each not in frozen]:
        for each in fresh:
            frozen[each] = None
            with contextlib.suppress(psutil.Error):
                each.suspend()
    for each in frozen:
        with contextlib.suppress(psutil.Error):
            each.kill()
    limit = time.monotonic() + _GONE_SECONDS
    while any(map(_is_alive, frozen)) and time.monotonic() < limit:
        time.sleep(_PAUSE)


def _family(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _after(seconds: float | None) -> float:
    return _NEVER if seconds is None else time.monotonic() + seconds


def _code(status: int | None) -> int | None:
    """Return the exit code as Windows means it: 32 bits without a sign."""
    return None if status is None else status & 0xFFFF_FFFF


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
