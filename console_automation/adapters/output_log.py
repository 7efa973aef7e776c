"""The OutputLog over run directories: reads segments while their shim is still writing them.

A reader never waits for the writer and never changes anything. It may meet a segment that is deleted
under it (the oldest, when the limit is reached): then what it asked for is gone, and the page begins
with the oldest chunk that is left.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from console_automation.core.output import Chunk, Page
from console_automation.shim.capture import (
    CHUNK,
    HEADER,
    LONGEST_SEQUENCE,
    READ_SIZE,
    chunks_in,
    incomplete_tail,
    segment_path,
)

_STREAMS = {1: "stdout", 2: "stderr"}
_MARKS = 1024
#: Windows has no O_CLOEXEC, and text files without O_BINARY.
_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class _Mark(NamedTuple):
    """Where in the segments the record after a sequence number begins."""

    segment: int
    position: int


class _Record(NamedTuple):
    sequence: int
    at: float
    stream: str
    data: bytes
    mark: _Mark  #: where this record begins

    @property
    def last_sequence(self) -> int:
        return self.sequence + chunks_in(len(self.data)) - 1

    def chunks(self, since: int) -> Iterator[Chunk]:
        """Yield the record's chunks after a sequence number."""
        if len(self.data) <= CHUNK:
            if self.sequence > since:
                yield Chunk(self.sequence, self.at, self.stream, self.data)
            return
        start = 0
        for number, end in enumerate(chunk_ends(self.data), self.sequence):
            if number > since:
                yield Chunk(number, self.at, self.stream, self.data[start:end])
            start = end


def chunk_ends(data: bytes) -> Iterator[int]:
    """Yield where each chunk of a record ends: after 4096 bytes, or before what must not be cut."""
    count = chunks_in(len(data))
    for end in range(CHUNK, count * CHUNK, CHUNK):
        yield end - incomplete_tail(data[end - LONGEST_SEQUENCE : end])
    if count:
        yield len(data)


class SegmentLog:
    """Reads `runs/<run id>/output.N`."""

    def __init__(self, runs: Path) -> None:
        self._runs = str(runs)
        #: where the last pages ended, so that paging does not scan a segment from its start again
        self._marks: OrderedDict[tuple[str, int], _Mark] = OrderedDict()

    def read(
        self, run_id: str, *, since: int, max_bytes: int, max_chunks: int, stream: str | None
    ) -> Page:
        """Return the chunks after `since` that fit, at least one if there is any."""
        directory = f"{self._runs}/{run_id}"
        segments = _segments(directory)
        oldest = _first_sequence(directory, segments)
        chunks: list[Chunk] = []
        size = 0
        cursor = since
        record = None
        for record in self._records(directory, segments, since, run_id):
            if stream is None or record.stream == stream:
                for chunk in record.chunks(since):
                    full = size + len(chunk.data) > max_bytes or len(chunks) >= max_chunks
                    if chunks and full:
                        self._remember(run_id, cursor, record.mark)
                        return _page(chunks, cursor, has_more=True, oldest=oldest)
                    chunks.append(chunk)
                    size += len(chunk.data)
                    cursor = chunk.sequence
            cursor = record.last_sequence
        if record is not None:
            end = record.mark.position + HEADER.size + len(record.data)
            self._remember(run_id, cursor, _Mark(record.mark.segment, end))
        return _page(chunks, cursor, has_more=False, oldest=oldest)

    def read_end(self, run_id: str, *, max_bytes: int, stream: str | None) -> Page:
        """Return the newest chunks that fit, at least one if there is any."""
        directory = f"{self._runs}/{run_id}"
        segments = _segments(directory)
        kept: list[Chunk] = []
        size = 0
        cursor = 0
        for segment in reversed(segments):
            records = list(_segment_records(directory, segment, 0))
            for record in reversed(records):
                cursor = cursor or record.last_sequence
                if stream is not None and record.stream != stream:
                    continue
                for chunk in reversed(list(record.chunks(0))):
                    size += len(chunk.data)
                    if kept and size > max_bytes:
                        oldest = _first_sequence(directory, segments)
                        return _page(kept[::-1], cursor, has_more=False, oldest=oldest)
                    kept.append(chunk)
        oldest = _first_sequence(directory, segments)
        return _page(kept[::-1], cursor, has_more=False, oldest=oldest)

    def _records(
        self, directory: str, segments: list[int], since: int, run_id: str
    ) -> Iterator[_Record]:
        """Yield the records that reach beyond `since`, in order."""
        mark = self._marks.get((run_id, since))
        if mark is None or mark.segment not in segments:
            mark = _Mark(_segment_with(directory, segments, since + 1), 0)
        for segment in segments:
            if segment >= mark.segment:
                position = mark.position if segment == mark.segment else 0
                for record in _segment_records(directory, segment, position):
                    if record.last_sequence > since:
                        yield record

    def _remember(self, run_id: str, cursor: int, mark: _Mark) -> None:
        self._marks[run_id, cursor] = mark
        if len(self._marks) > _MARKS:
            self._marks.popitem(last=False)


def _page(chunks: list[Chunk], cursor: int, *, has_more: bool, oldest: int | None) -> Page:
    return Page(chunks=tuple(chunks), next_since=cursor, has_more=has_more, first_available=oldest)


def _segments(directory: str) -> list[int]:
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return sorted(int(name[7:]) for name in names if name.startswith("output."))


def _first_sequence(directory: str, segments: list[int]) -> int | None:
    for segment in segments:
        first = _first_of(directory, segment)
        if first is not None:
            return first
    return None


def _first_of(directory: str, segment: int) -> int | None:
    """Return the sequence number that a segment begins with, None when it is gone or empty."""
    try:
        with open(segment_path(directory, segment), "rb", buffering=0) as file:
            header = file.read(HEADER.size)
    except OSError:
        return None
    return HEADER.unpack(header)[0] if len(header) == HEADER.size else None


def _segment_with(directory: str, segments: list[int], sequence: int) -> int:
    """Return the segment that holds a sequence number, or the oldest one if it is gone."""
    low, high = 0, len(segments) - 1
    while low < high:
        middle = (low + high + 1) // 2
        first = _first_of(directory, segments[middle])
        if first is not None and first <= sequence:
            low = middle
        else:
            high = middle - 1
    return segments[low] if segments else 0


def _segment_records(directory: str, segment: int, position: int) -> Iterator[_Record]:
    """Yield a segment's records from a position; stops before one that is not whole yet."""
    try:
        fd = os.open(segment_path(directory, segment), _READ)
    except OSError:
        return
    try:
        window, base = b"", position
        while True:
            record = _record_in(window, base, _Mark(segment, position))
            if record is None:
                window, base = _read_at(fd, HEADER.size + READ_SIZE, position), position
                record = _record_in(window, base, _Mark(segment, position))
            if record is None:
                return
            yield record
            position += HEADER.size + len(record.data)
    finally:
        os.close(fd)


def _record_in(window: bytes, base: int, mark: _Mark) -> _Record | None:
    """Return the record at a mark if it lies whole in the window, which was read from `base`."""
    start = mark.position - base + HEADER.size
    if len(window) < start:
        return None
    sequence, _, at, length, stream = HEADER.unpack_from(window, start - HEADER.size)
    data = window[start : start + length]
    if len(data) < length or not length:
        return None
    return _Record(sequence, at, _STREAMS[stream], data, mark)


def _seek_and_read(fd: int, size: int, position: int) -> bytes:
    os.lseek(fd, position, os.SEEK_SET)
    return os.read(fd, size)


_read_at = os.pread if hasattr(os, "pread") else _seek_and_read
