"""A run's output on disk: append-only segments of framed records, exactly bounded.

A record is a header and up to 256 KiB of one stream, as it was read. Sequence numbers count chunks:
a record of n bytes holds ceil(n / 4096) of them, so that a reader can stop inside a record while the
writer never has to cut its reads up. `offset` is the number of bytes printed before the record, so a
reader can tell exactly how many bytes a gap has lost.

A UTF-8 character or a terminal's control sequence that a read has cut in two is held back until its
rest arrives: no record, and so no page made of them, ends inside one.

Nothing here stops a job: what the disk does not take is counted as dropped and forgotten.
"""

import os
import struct
from collections import deque

HEADER = struct.Struct("<QQdIB3x")  # sequence, offset, time, length, stream
CHUNK = 4096
READ_SIZE = 262144
SEGMENTS = 8  # one deletion drops at most the oldest eighth,
LARGEST_SEGMENT = 1 << 20  # and never more than this, which also bounds what a tail has to read
STDOUT, STDERR = 1, 2
LONGEST_SEQUENCE = 64  # bytes
#: Windows has no O_CLOEXEC, and text files without O_BINARY.
_APPEND = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_APPEND
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def segment_path(directory: str, index: int) -> str:
    """Return the path of one segment, counted from 1."""
    return f"{directory}/output.{index}"


def chunks_in(length: int) -> int:
    """Return how many sequence numbers a record of `length` bytes takes."""
    return -(-length // CHUNK)


def incomplete_tail(data: bytes | memoryview) -> int:
    """Return how many bytes at the end begin what is not complete: a UTF-8 character (1 to 3), or a
    terminal's control sequence (1 to 64; what is longer is no sequence worth waiting for)."""
    end = bytes(data[-LONGEST_SEQUENCE:])
    escape = end.rfind(b"\x1b")
    if escape >= 0 and not _is_whole(end[escape + 1 :]):
        return len(end) - escape
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            wanted = 2 if byte & 0xE0 == 0xC0 else 3 if byte & 0xF0 == 0xE0 else 4
            return back if byte >= 0xC2 and byte < 0xF5 and wanted > back else 0
    return 0


def _is_whole(sequence: bytes) -> bool:
    """Whether a control sequence, given without its ESC, has its end."""
    match sequence[:1]:
        case b"[":
            return any(0x40 <= byte <= 0x7E for byte in sequence[1:])
        case b"]" | b"P" | b"X" | b"^" | b"_":
            return b"\x07" in sequence or b"\n" in sequence
        case _:
            return bool(sequence.lstrip(b" !\"#$%&'()*+,-./"))


class Capture:
    """Writes what a run prints. `limit` bounds the bytes on disk, framing included."""

    def __init__(
        self, directory: str, *, limit: int, drop_newest: bool, printed: int, last_sequence: int
    ) -> None:
        self.directory = directory
        self.limit = limit
        self.drop_newest = drop_newest
        self.printed = printed  #: by earlier attempts too, whose output is gone
        self.dropped = printed
        self.last_sequence = last_sequence
        self.overflowed = False  #: the limit was reached at least once
        self._segment_size = max(min(limit // SEGMENTS, LARGEST_SEGMENT), HEADER.size + CHUNK)
        self._largest = min(READ_SIZE, self._segment_size - HEADER.size)
        self._held = {STDOUT: b"", STDERR: b""}
        self._fd = -1
        self._index = 0
        self._size = 0
        self._payload = 0
        self._total = 0
        self._older: deque[tuple[int, int, int]] = deque()
        self._undeleted: list[int] = []

    def take(self, stream: int, data: bytes, at: float) -> None:
        """Append what was read from a stream."""
        held = self._held[stream]
        if held:
            data = held + data
        tail = incomplete_tail(data)
        if tail:
            self._held[stream] = data[-tail:]
            self._append(stream, memoryview(data)[:-tail], at)
        else:
            if held:
                self._held[stream] = b""
            self._append(stream, data, at)

    def finish(self, at: float) -> None:
        """Append what was held back and close the last segment."""
        for stream, held in self._held.items():
            self._append(stream, held, at)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, stream: int, data: bytes | memoryview, at: float) -> None:
        while len(data) > self._largest:
            cut = self._largest - incomplete_tail(data[: self._largest])
            self._record(stream, data[:cut], at)
            data = data[cut:]
        if data:
            self._record(stream, data, at)

    def _record(self, stream: int, data: bytes | memoryview, at: float) -> None:
        length = len(data)
        need = HEADER.size + length
        header = HEADER.pack(self.last_sequence + 1, self.printed, at, length, stream)
        self.last_sequence += chunks_in(length)
        self.printed += length
        if not self._make_room(need) or not self._write(header, data, need):
            self.dropped += length
        else:
            self._size += need
            self._total += need
            self._payload += length

    def _make_room(self, need: int) -> bool:
        """Open the next segment when this one is full, deleting the oldest as the limit demands."""
        self.overflowed = self.overflowed or self._total + need > self.limit
        if self.overflowed and self.drop_newest:
            return False  # even what would still fit: what is kept has no holes
        is_full = self._fd < 0 or self._size + need > self._segment_size
        if is_full and not self._next_segment():
            return False
        while self._total + need > self.limit and self._older:
            self._drop_oldest()
        return True

    def _next_segment(self) -> bool:
        path = segment_path(self.directory, self._index + 1)
        try:
            fd = os.open(path, _APPEND, 0o600)
        except OSError:
            return False
        if self._fd >= 0:
            os.close(self._fd)
            self._older.append((self._index, self._size, self._payload))
        self._fd = fd
        self._index += 1
        self._size = self._payload = 0
        return True

    def _drop_oldest(self) -> None:
        index, size, payload = self._older.popleft()
        self._total -= size
        self.dropped += payload
        self._undeleted = [each for each in (*self._undeleted, index) if not self._delete(each)]

    def _delete(self, index: int) -> bool:
        """Delete a segment; False when the system does not let go of what a reader has open."""
        try:
            os.unlink(segment_path(self.directory, index))
        except FileNotFoundError:
            return True
        except PermissionError:
            return False
        return True

    def _write(self, header: bytes, data: bytes | memoryview, need: int) -> bool:
        """Append one record whole, or leave the segment as it was."""
        try:
            if _write(self._fd, header, data) == need:
                return True
        except OSError:
            pass
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            # The segment may end in half a record now: readers stop there, so begin another.
            self._size = self._segment_size
        return False


def _write_joined(fd: int, header: bytes, data: bytes | memoryview) -> int:
    return os.write(fd, b"".join((header, data)))


def _write_gathered(fd: int, header: bytes, data: bytes | memoryview) -> int:
    return os.writev(fd, (header, data))


_write = _write_gathered if hasattr(os, "writev") else _write_joined
