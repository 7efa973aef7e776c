"""The `state` file of a run: 4 KiB, allocated at the start, written in place, never renamed.

    0      start record      length, CRC-32, JSON: pid, boot id, time; or the mark of a fence
    1024   progress          bytes printed, bytes dropped, last sequence number, CRC-32
    2048   exit record       length, CRC-32, JSON

In place because a temporary file that is renamed over the record is lost on a full disk and comes
back empty after a crash of the system. The shim holds an exclusive `flock` on the file while it owns
the run: held means alive, whatever pids say.
"""

import errno
import fcntl
import json
import os
import struct
import zlib
from typing import Any

SIZE = 4096
_START, _PROGRESS, _EXIT = 0, 1024, 2048
_RECORD = struct.Struct("<II")
_COUNTS = struct.Struct("<QQQI")
_LONGEST = {_START: _PROGRESS - _RECORD.size, _EXIT: SIZE - _EXIT - _RECORD.size}


class Claimed(Exception):
    """The run belongs to somebody else, or was fenced off."""


def create(directory: str) -> int:
    """Create the run directory and its state file, and return the descriptor, locked.

    Raises Claimed when the run is not ours to begin, OSError when the disk does not allow it.
    """
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        raise Claimed(directory) from None
    fd = -1
    try:
        fd = os.open(path(directory), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _allocate(fd)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if read_start(fd) is not None:
            raise Claimed(directory)
    except BaseException:
        if fd >= 0:
            os.close(fd)
        raise
    return fd


class Blank:
    """The run directory of a run that left nothing, kept by its shim to be used again.

    Moving it to the next run's name claims that run as creating the directory would, and spares the
    making and unmaking of a directory and an allocated file, a third of a millisecond of the disk's
    time. Should the shim end first, what lies there goes with the job it was made for.
    """

    def __init__(self, directory: str, fd: int) -> None:
        self.directory = directory
        self.fd = fd
        os.pwrite(fd, bytes(SIZE), 0)

    def become(self, directory: str) -> int:
        """Move to a run's name and return the descriptor, still locked.

        Raises Claimed when the run is not ours to begin, OSError when it cannot be moved.
        """
        try:
            os.rename(self.directory, directory)
        except OSError as error:
            self.drop()
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise Claimed(directory) from None
            raise
        return self.fd

    def drop(self) -> None:
        """Give it up."""
        os.close(self.fd)


def path(directory: str) -> str:
    """Return the state file's path."""
    return directory + "/state"


def _allocate(fd: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(fd, 0, SIZE)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
    if os.fstat(fd).st_size < SIZE:
        os.pwrite(fd, bytes(SIZE), 0)


def write_start(fd: int, record: dict[str, Any]) -> None:
    """Record that the command is about to be spawned (or, by a fence, that it never will be)."""
    _write(fd, _START, record)


def write_exit(fd: int, record: dict[str, Any]) -> None:
    """Record the end. The leftovers, then the error are cut to what fits."""
    while len(json.dumps(record)) > _LONGEST[_EXIT]:
        if record["leftovers"]:
            record = {**record, "leftovers": record["leftovers"][:-1]}
        else:
            record = {**record, "error": record["error"][:-100]}
    _write(fd, _EXIT, record)


def _write(fd: int, at: int, record: dict[str, Any]) -> None:
    body = json.dumps(record, separators=(",", ":")).encode("ascii")
    assert len(body) <= _LONGEST[at]
    os.pwrite(fd, _RECORD.pack(len(body), zlib.crc32(body)) + body, at)


def write_progress(fd: int, printed: int, dropped: int, last_sequence: int) -> None:
    """Record how far the output has come."""
    counts = (printed, dropped, last_sequence)
    os.pwrite(fd, _COUNTS.pack(*counts, zlib.crc32(repr(counts).encode())), _PROGRESS)


def read_start(fd: int) -> dict[str, Any] | None:
    """Return the start record, None when there is none."""
    return _read(fd, _START)


def read_exit(fd: int) -> dict[str, Any] | None:
    """Return the exit record, None when there is none."""
    return _read(fd, _EXIT)


def _read(fd: int, at: int) -> dict[str, Any] | None:
    head = os.pread(fd, _RECORD.size, at)
    if len(head) < _RECORD.size:
        return None
    length, crc = _RECORD.unpack(head)
    if not 0 < length <= _LONGEST[at]:
        return None
    body = os.pread(fd, length, at + _RECORD.size)
    if len(body) < length or zlib.crc32(body) != crc:
        return None
    record: dict[str, Any] = json.loads(body)
    return record


def read_progress(fd: int) -> tuple[int, int, int] | None:
    """Return bytes printed, bytes dropped and the last sequence number; None while torn or absent."""
    data = os.pread(fd, _COUNTS.size, _PROGRESS)
    if len(data) < _COUNTS.size:
        return None
    *numbers, crc = _COUNTS.unpack(data)
    printed, dropped, last = numbers
    if zlib.crc32(repr((printed, dropped, last)).encode()) != crc:
        return None
    return printed, dropped, last


def lock_if_free(fd: int) -> bool:
    """Take the lock if no shim holds it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
