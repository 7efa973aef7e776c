"""The daemon's log: its last lines, then whatever comes, also after it was rotated."""

import os
import time

from console_automation.core.text import sanitize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from console_automation.frontends.cli.streams import Streams

_LOOK_SECONDS = 0.2


def show(streams: "Streams", path: str, tail: int | None) -> "BinaryIO | None":
    """Print the log with its part before the last rotation, or its last lines; return it, read so far.

    None: there is no log yet.
    """
    before, now = _opened(f"{path}.1"), _opened(path)
    lines = b"".join(file.read() for file in (before, now) if file).splitlines(keepends=True)
    if before:
        before.close()
    _print(streams, b"".join(lines if tail is None else lines[max(0, len(lines) - tail) :]))
    return now


def follow(streams: "Streams", path: str, log: "BinaryIO | None") -> None:
    """Print what is written into the log from now on, until Ctrl-C."""
    try:
        while True:
            new = log.read() if log else b""
            if new:
                _print(streams, new)
            elif _is_current(path, log):
                time.sleep(_LOOK_SECONDS)
            else:
                if log:
                    _print(streams, log.read())  # what came between that look and the rotation
                    log.close()
                log = _opened(path)
    finally:
        if log:
            log.close()


def _is_current(path: str, log: "BinaryIO | None") -> bool:
    """Whether there is no other log by that path than this."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return True
    return log is not None and os.path.samestat(there, os.fstat(log.fileno()))


def _opened(path: str) -> "BinaryIO | None":
    try:
        return open(path, "rb")
    except FileNotFoundError:
        return None


def _print(streams: "Streams", data: bytes) -> None:
    streams.text(sanitize(data.decode("utf-8", "replace")))
    streams.flush()
