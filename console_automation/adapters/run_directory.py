"""What a run directory says to those who do not own it."""

import os
import stat
from collections.abc import Iterable

from console_automation.core.codec import exit_from_plain
from console_automation.core.job import Channel, OutputCounts
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


def report_of(directory: str, channel: Channel, *, since: int, max_bytes: int) -> bytes | None:
    """Return what a run's program has written to a file of its own, None when there is none.

    The program may have put anything there: a pipe that would never answer, a link to elsewhere.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = os.open(f"{directory}/{channel}", flags)
    except OSError:
        return None
    try:
        return os.pread(fd, max_bytes, since) if stat.S_ISREG(os.fstat(fd).st_mode) else None
    except OSError:
        return None
    finally:
        os.close(fd)


def variables_of(directory: str, channels: Iterable[Channel]) -> dict[str, str]:
    """Return the variables that tell a run's program where its files are."""
    return {f"CONSOLE_AUTOMATION_{channel.name}": f"{directory}/{channel}" for channel in channels}


def _counts(fd: int) -> OutputCounts | None:
    progress = state.read_progress(fd)
    if progress is None:
        return None
    printed, dropped, last = progress
    return OutputCounts(bytes=printed, dropped_bytes=dropped, last_sequence=last)
