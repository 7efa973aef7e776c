"""What a run directory says to those who do not own it."""

import os

from console_automation.core.codec import exit_from_plain
from console_automation.core.job import OutputCounts
from console_automation.core.recovery import Hold, RunFacts
from console_automation.shim import state


def facts_of(directory: str) -> RunFacts:
    """Return what is known of a run; one that never began is fenced off for good.

    The fence is the run's state file with a mark in it: a shim that comes late finds the directory
    taken. It stays until the job is forgotten, because an order may be late by any time.
    Raises OSError when it cannot be looked into.
    """
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    fd = os.open(state.path(directory), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        is_free = state.lock_if_free(fd)
        # The lock first: a shim writes the exit record before it lets go.
        exit = state.read_exit(fd)
        if exit is not None:
            return RunFacts(hold=Hold.NOBODY, started=True, exit=exit_from_plain(exit))
        if not is_free:
            return RunFacts(hold=Hold.SHIM)
        start = state.read_start(fd)
        if start is None or "fenced" in start:
            state.write_start(fd, {"fenced": True})
            return RunFacts(hold=Hold.FENCED)
        return RunFacts(hold=Hold.NOBODY, started=True, output=_counts(fd))
    finally:
        os.close(fd)


def progress_of(directory: str) -> OutputCounts | None:
    """Return how much a run has printed, None when that is not known."""
    try:
        fd = os.open(state.path(directory), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _counts(fd)
    finally:
        os.close(fd)


def _counts(fd: int) -> OutputCounts | None:
    progress = state.read_progress(fd)
    if progress is None:
        return None
    printed, dropped, last = progress
    return OutputCounts(bytes=printed, dropped_bytes=dropped, last_sequence=last)
