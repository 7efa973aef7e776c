"""One run, from its claim to its exit record. The order of the steps is the promise:

1. the run directory is made, which claims the run, and its state is locked;
2. the start record is written, then the command is spawned;
3. output is drained into the capture, deadlines are kept, whether or not a daemon listens;
4. once the main process has ended and what it left behind is dealt with, the output is completed,
   then the exit record is written, then the daemon is told.
"""

import errno
import fcntl
import os
import select
import signal
import sys
import time
from typing import Any

from console_automation.shim import state, wiring
from console_automation.shim.capture import READ_SIZE, Capture
from console_automation.shim.processes import NEVER, Processes, now
from console_automation.shim.protocol import Link, Message
from console_automation.shim.spawn import spawn
from console_automation.shim.stdin import Stdin

ANNOUNCE_SECONDS = 0.004  # a command shorter than this is reported once, with its end
RECORDED_SECONDS = 1.0  # how long to wait for the daemon's commit before forcing our own record
POLL_SECONDS = 60.0  # deadlines count time asleep, poll does not: look again at least this often
PIPE_SIZE = 1 << 20
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Run:
    """Supervises one run. `subreaper` says whether orphans of the run become our children."""

    def __init__(
        self,
        order: Message,
        link: Link,
        wake: int,
        *,
        subreaper: bool,
        is_last: bool,
        blank: state.Blank | None = None,
    ) -> None:
        self.order = order
        self.blank = blank  #: a run directory to begin with; afterwards, one to hand on
        self.run_id: str = order["run"]
        self.link = link
        self.early = link.take_kept()  #: said to this run before it could listen
        self.wake = wake
        self.is_last = is_last  #: the shim will take no other run
        self.capture = Capture(
            order["directory"],
            limit=order["output_limit"],
            drop_newest=order["on_output_limit"] != "drop_oldest",
            printed=order["printed"],
            last_sequence=order["last_sequence"],
        )
        self.on_terminal = order["terminal"] is not None
        self.processes = Processes(
            0,
            subreaper=subreaper,
            leave=order["leftovers"] == "leave",
            grace=order["grace"],
            on_terminal=self.on_terminal,
        )
        self.state, self.link_fd = -1, -1
        self.error: str | None = None
        self.started_at: float | None = None
        self.exit: dict[str, Any] | None = None
        self.recorded: Message | None = None
        self.announce_at = self.deadline = self.idle_at = NEVER
        self.watched_after: int | None = None
        self.streams: dict[int, int] = {}
        self.wiring = wiring.Wiring()
        self.polite = signal.SIGHUP if order["hang_up"] else signal.SIGTERM
        self.poll = select.poll()
        self.stdin = Stdin(-1, self.poll, ends=True)

    def supervise(self) -> bool:
        """Carry the run out; True when this shim is as good as new afterwards."""
        try:
            self.state = self._claim()
        except state.Claimed:
            self.link.send({"refused": self.run_id, "error": None})
            return True
        except OSError as error:
            self._refuse(error)
            return True
        try:
            if self._begin():
                while not self.processes.are_over:
                    self._step()
            self._end()
            if self.processes.left_alone:
                self._linger()
            return self.recorded is not None and self.processes.left_nothing
        finally:
            if self.blank is None:
                os.close(self.state)
            os.chdir("/")

    def _claim(self) -> int:
        blank, self.blank = self.blank, None
        if blank is not None:
            try:
                return blank.become(self.order["directory"])
            except OSError:
                pass  # cleaned away in the meantime: begin like any other
        return state.create(self.order["directory"])

    def _refuse(self, error: OSError) -> None:
        self.link.send({"refused": self.run_id, "error": error.strerror or str(error)})
        directory = self.order["directory"]
        for remove, path in ((os.unlink, state.path(directory)), (os.rmdir, directory)):
            try:
                remove(path)
            except OSError:
                pass

    # -- beginning ---------------------------------------------------------------------------

    def _begin(self) -> bool:
        """Spawn the command; False when exec refuses it."""
        order = self.order
        self.started_at = time.time()
        state.write_start(self.state, {"boot_id": order["boot_id"], "at": self.started_at})
        try:
            self.wiring = self._wire()
            os.chdir(order["cwd"])
            self.processes.pid = spawn(
                order["executable"], order["argv"], order["environment"], self.wiring.theirs
            )
        except (OSError, ValueError) as error:
            self._spawn_failed(error)
        self.wiring.command_has_its_own()
        ends = not order["keep_stdin"] and not self.on_terminal
        self.stdin = Stdin(self.wiring.writes, self.poll, ends=ends)
        self.streams = dict(self.wiring.reads)
        for fd in self.streams:
            self.poll.register(fd, select.POLLIN)
        self.poll.register(self.wake, select.POLLIN)
        self._follow_link()
        self._set_deadlines()
        if order["stdin"] is not None:
            self.stdin.feed(order["stdin"].encode("utf-8", "surrogateescape"))
        for message in self.early:
            self._obey(message)
        return self.processes.pid > 0

    def _wire(self) -> wiring.Wiring:
        order = self.order
        if self.on_terminal:
            return wiring.terminal(**order["terminal"])
        has_stdin = order["keep_stdin"] or order["stdin"] is not None
        return wiring.pipes(merge=order["merge_stderr"], has_stdin=has_stdin)

    def _spawn_failed(self, error: OSError | ValueError) -> None:
        number = error.errno if isinstance(error, OSError) else errno.EINVAL
        name = errno.errorcode.get(number or 0, "EUNKNOWN")
        self.processes.cause = "spawn_error"
        self.processes.childless = True
        self.processes.ended_at = time.time()
        what = getattr(error, "filename", None) or self.order["executable"]
        self.error = f"{name}: {os.strerror(number or 0)}: {what}"

    def _set_deadlines(self) -> None:
        start = now()
        self.announce_at = start + ANNOUNCE_SECONDS
        if self.order["timeout"] is not None:
            self.deadline = start + self.order["timeout"]
        self._postpone_idle(start)

    def _postpone_idle(self, at: float) -> None:
        if self.order["idle_timeout"] is not None:
            self.idle_at = at + self.order["idle_timeout"]

    # -- the loop ----------------------------------------------------------------------------

    def _step(self) -> None:
        """Wait for the next thing to happen and deal with it."""
        due = min(self.announce_at, self.deadline, self.idle_at, self.processes.due)
        due = min(due, self.processes.again)
        wait = min(POLL_SECONDS, max(0.0, due - now()))
        if self.link.socket is None:
            wait = min(wait, max(0.0, self.link.redial_at - time.monotonic()))
        fds = [fd for fd, _ in self.poll.poll(wait * 1000 + 0.5)]
        before = self.capture.last_sequence
        for fd in fds:
            if fd in self.streams:
                self._read(fd)
        if self.capture.last_sequence != before or self.capture.dropped:
            self._account_for_output(before)
        if self.wake in fds:
            os.read(self.wake, 512)
            self.processes.reap()
            if self.processes.status is not None:
                self.deadline = self.idle_at = NEVER  # they were the main process's
        if self.stdin.fd in fds:
            self.stdin.write()
        self._converse(fds)
        self._keep_deadlines()

    def _read(self, fd: int) -> None:
        stream = self.streams[fd]
        data = self._received(fd)
        if not data:
            return
        if len(data) == 65536 and hasattr(fcntl, "F_SETPIPE_SZ"):
            # A full pipe of the usual size: this is a flood, let it come in bigger pieces. The
            # kernel refuses when this user's pipes already hold too much.
            try:
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
            except OSError:
                pass
        self.capture.take(stream, data, time.time())
        if reply := self.wiring.answer(data):
            self.stdin.answer(reply)

    def _received(self, fd: int) -> bytes:
        """Return what was printed, maybe nothing; at its end the stream is closed."""
        try:
            data = os.read(fd, READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""  # a terminal that has hung up says so by an error
        if not data:
            self.poll.unregister(fd)
            del self.streams[fd]
            os.close(fd)
        return data

    def _account_for_output(self, before: int) -> None:
        capture = self.capture
        state.write_progress(self.state, capture.printed, capture.dropped, capture.last_sequence)
        if capture.last_sequence == before:
            return
        self._postpone_idle(now())
        self._answer_watch()
        ends_it = self.order["on_output_limit"] == "kill"
        if capture.overflowed and ends_it and self.processes.due == NEVER:
            self.processes.stop("output_limit", self.polite, self.order["grace"])

    def _keep_deadlines(self) -> None:
        at = now()
        if at >= self.announce_at:
            self._announce()
        if at >= self.deadline:
            self.deadline = NEVER
            self.processes.stop("timeout", self.polite, self.order["grace"])
        if at >= self.idle_at:
            self.idle_at = NEVER
            self.processes.stop("idle_timeout", self.polite, self.order["grace"])
        if at >= self.processes.due:
            self.processes.act()
        elif at >= self.processes.again:
            self.processes.hang_up_again()

    def _announce(self) -> None:
        self.announce_at = NEVER
        self.link.send({"started": self.run_id, "pid": self.processes.pid, "at": self.started_at})

    # -- talk --------------------------------------------------------------------------------

    def _follow_link(self) -> None:
        """Keep the poll set in step with the link, which comes and goes."""
        fd = self.link.socket.fileno() if self.link.socket else -1
        if self.link_fd not in (-1, fd):
            self.poll.unregister(self.link_fd)
        if fd >= 0:
            self.poll.register(fd, select.POLLIN | (select.POLLOUT if self.link.has_unsent else 0))
        self.link_fd = fd

    def _converse(self, fds: list[int]) -> None:
        if self.link.socket is None:
            if time.monotonic() >= self.link.redial_at and self.link.dial(self.run_id):
                self._announce()
                if self.exit is not None:
                    self._tell_exit()
        elif self.link_fd in fds:
            self.link.flush()
            for message in self.link.receive():
                self._obey(message)
        self._follow_link()

    def _obey(self, message: Message) -> None:
        if message.get("stop") == self.run_id:
            self.processes.stop(message["cause"], message["signal"], message["grace"])
        elif message.get("input") == self.run_id:
            self._accept_input(message)
        elif message.get("resize") == self.run_id:
            done = self.wiring.resize(message["cols"], message["rows"])
            self.link.send({"accepted": 0 if done else -1, "ticket": message["ticket"]})
        elif message.get("watch") == self.run_id:
            self.watched_after = message["after"]
            self._answer_watch()
        elif message.get("recorded") == self.run_id:
            self.recorded = message
        else:
            self.link.keep(message)

    def _answer_watch(self) -> None:
        if self.watched_after is not None and self.capture.last_sequence > self.watched_after:
            self.watched_after = None
            self.link.send({"output": self.run_id})

    def _accept_input(self, message: Message) -> None:
        data = message["data"].encode("utf-8", "surrogateescape")
        accepted = self.wiring.accept(self.stdin, data, eof=message["eof"])
        if self.on_terminal and (data or message["eof"]):
            self._postpone_idle(now())  # who types is there, whether or not it is echoed
        self.link.send({"accepted": accepted, "ticket": message["ticket"]})

    # -- ending ------------------------------------------------------------------------------

    def _end(self) -> None:
        """Complete the output, then record the exit, then tell."""
        for fd in list(self.streams):
            # Whoever was let be may print for ever: what the pipe held at the end is read, no more.
            enough = NEVER if self.processes.left_nothing else self.capture.printed + PIPE_SIZE
            while fd in self.streams and self.capture.printed < enough:
                if not select.select([fd], [], [], 0)[0]:
                    break
                self._read(fd)
            if fd in self.streams and not self.processes.left_alone:
                os.close(fd)
        self.stdin.close()
        self.wiring.close()
        self.capture.finish(time.time())
        self.exit = self._exit_record()
        state.write_exit(self.state, self.exit)
        self._tell_exit()
        self._await_recorded()

    @property
    def _is_reusable(self) -> bool:
        return self.processes.left_nothing and not self.is_last

    def _tell_exit(self) -> None:
        self.link.send({"exited": self.run_id, "exit": self.exit, "reusable": self._is_reusable})

    def _exit_record(self) -> dict[str, Any]:
        capture, processes = self.capture, self.processes
        code = number = None
        if processes.status is not None:
            if os.WIFSIGNALED(processes.status):
                number = os.WTERMSIG(processes.status)
            else:
                code = os.WEXITSTATUS(processes.status)
        return {
            "cause": processes.cause,
            "code": code,
            "signal": number,
            "error": self.error,
            "started_at": self.started_at,
            "ended_at": processes.ended_at,
            "output": {
                "bytes": capture.printed,
                "dropped_bytes": capture.dropped,
                "last_sequence": capture.last_sequence,
            },
            "usage": {
                "cpu_seconds": round(processes.cpu_seconds, 6),
                "max_rss_bytes": processes.max_rss * _RSS_UNIT,
            },
            "leftovers": processes.leftovers,
        }

    def _await_recorded(self) -> None:
        """Wait until the daemon has the exit; force it to the disk ourselves if that takes too long.

        A shim that called itself reusable stays on the line then: the next order may be on its way.
        """
        self._listen(time.monotonic() + RECORDED_SECONDS)
        if self.recorded is None:
            os.fsync(self.state)
            if self._is_reusable:
                self._listen(NEVER)
        if self.recorded is not None and self.recorded["discard"]:
            self.blank = state.Blank(self.order["directory"], self.state)

    def _listen(self, until: float) -> None:
        """Return when the daemon has the exit, the line has ended or the time is up."""
        while self.recorded is None and (line := self.link.socket) and time.monotonic() < until:
            wait = max(0.0, min(until - time.monotonic(), POLL_SECONDS))
            unsent = [line] if self.link.has_unsent else []
            if any(select.select([line], unsent, [], wait)):
                self._follow_link()
                self._converse([self.link_fd])

    def _linger(self) -> None:
        """Keep reading, and forget, what the processes left alone print: a closed pipe would end them."""
        self.link.hang_up()
        fcntl.flock(self.state, fcntl.LOCK_UN)
        self.blank = None
        while self.streams:
            for fd in select.select(list(self.streams), [], [])[0]:
                self._received(fd)
