"""A shim's life: dial the daemon, carry out one run after another, end when it is no longer needed.

A shim is reused only after a run that ended clean: recorded by the daemon, no process left. While it
is idle it ends with its daemon; while a run is live nothing but SIGKILL ends it.
"""

import os
import signal
import socket

from console_automation.shim import state
from console_automation.shim.protocol import Link, Message, encode
from console_automation.shim.run import Run
from console_automation.shim.tree import become_subreaper


def set_signals() -> None:
    """Ignore what must not end a live run; the death of a child wakes up."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)


def be_woken() -> int:
    """Return the descriptor that is readable when a child has ended."""
    wake, waker = os.pipe()
    for fd in (wake, waker):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    return wake


def rehearse(directory: str, wake: int) -> None:
    """Carry out a run of `true`, for what that warms up: bytecode, caches, the heap.

    Whoever is forked from this process shares it, instead of making 0.3 MB of its own of it.
    """
    ours, theirs = socket.socketpair()
    link = Link("", os.getpid())
    link.attach(ours)
    theirs.sendall(encode(_REHEARSAL | {"directory": directory}))
    theirs.sendall(encode({"recorded": _REHEARSAL["run"], "discard": True}))
    run = Run(link.next_order() or {}, link, wake, subreaper=True, is_last=False)
    run.supervise()
    if run.blank is not None:
        run.blank.drop()
        os.unlink(state.path(directory))
        os.rmdir(directory)
    link.hang_up()
    theirs.close()


_REHEARSAL: Message = {
    "run": "rehearsal",
    "executable": "/bin/true",
    "argv": ["true"],
    "environment": {},
    "cwd": "/",
    "stdin": None,
    "keep_stdin": False,
    "merge_stderr": False,
    "terminal": None,
    "hang_up": False,
    "timeout": 60.0,
    "idle_timeout": None,
    "grace": 0.0,
    "output_limit": 1 << 16,
    "on_output_limit": "drop_oldest",
    "leftovers": "end",
    "boot_id": "",
    "printed": 0,
    "last_sequence": 0,
}


def serve(path: str, uses: int) -> None:
    """Take up to `uses` runs from the daemon that listens at `path`."""
    wake = be_woken()
    subreaper = become_subreaper("console-shim")
    link = Link(path, os.getpid())
    if not link.dial(None):
        return
    blank = None
    while uses > 0 and (order := link.next_order()):
        uses -= 1
        run = Run(order, link, wake, subreaper=subreaper, is_last=uses == 0, blank=blank)
        if not run.supervise():
            return
        blank = run.blank
