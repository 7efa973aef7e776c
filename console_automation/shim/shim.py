"""A shim's life: dial the daemon, carry out one run after another, end when it is no longer needed.

A shim is reused only after a run that ended clean: recorded by the daemon, no process left. While it
is idle it ends with its daemon; while a run is live nothing but SIGKILL ends it.
"""

import os
import signal

from console_automation.shim.protocol import Link
from console_automation.shim.run import Run
from console_automation.shim.tree import become_subreaper


def serve(path: str, uses: int) -> None:
    """Take up to `uses` runs from the daemon that listens at `path`."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    wake, waker = os.pipe()
    for fd in (wake, waker):
        os.set_blocking(fd, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
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
