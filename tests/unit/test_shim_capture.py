"""The capture: what a run prints, in segments that stay within their limit, whatever the disk does."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console_automation.adapters.output_log import SegmentLog
from console_automation.core.output import Chunk
from console_automation.shim.capture import CHUNK, HEADER, SEGMENTS, STDERR, STDOUT, Capture

LIMIT = 65_536
NAMES = {STDOUT: "stdout", STDERR: "stderr"}


def capture_in(path: Path, **fields: int | bool) -> Capture:
    path.mkdir(exist_ok=True)
    defaults = {"limit": LIMIT, "drop_newest": False, "printed": 0, "last_sequence": 0}
    return Capture(str(path), **{**defaults, **fields})  # type: ignore[arg-type]


def chunks(path: Path, since: int = 0, max_bytes: int = 1 << 30) -> tuple[Chunk, ...]:
    log = SegmentLog(path.parent)
    page = log.read(path.name, since=since, max_bytes=max_bytes, max_chunks=1 << 30, stream=None)
    return page.chunks


def segments(path: Path) -> list[int]:
    return sorted(int(entry.name.removeprefix("output.")) for entry in path.iterdir())


def disk(path: Path) -> int:
    return sum(entry.stat().st_size for entry in path.iterdir())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "job-1.1"


def test_the_oldest_segments_go_first_and_whole(run: Path) -> None:
    capture = capture_in(run)
    for number in range(100):
        capture.take(STDOUT, b"%04d" % number * 1000, 1.0)
        assert disk(run) <= LIMIT
    left = segments(run)
    assert left == list(range(left[0], left[-1] + 1)) and left[0] > 1
    kept = [chunk.data[:4] for chunk in chunks(run)]
    assert kept == [b"%04d" % number for number in range(100 - len(kept), 100)]
    assert disk(run) > LIMIT - 2 * (LIMIT // SEGMENTS)


def test_dropping_the_newest_keeps_the_beginning(run: Path) -> None:
    capture = capture_in(run, drop_newest=True)
    for number in range(100):
        capture.take(STDOUT, b"%04d" % number * 1000, 1.0)
    kept = [chunk.data[:4] for chunk in chunks(run)]
    assert kept == [b"%04d" % number for number in range(len(kept))]
    assert (segments(run)[0], capture.overflowed) == (1, True)
    assert capture.dropped == capture.printed - len(kept) * 4000


def test_bytes_are_kept_as_they_came(run: Path) -> None:
    """Carriage returns, escapes, NULs and invalid UTF-8 are for the reader to deal with."""
    capture = capture_in(run)
    text = b"10%\r20%\r\n\x1b[31mred\x1b[0m\0\xff\xfe\x80 \xc3\x28 \xed\xa0\x80\n"
    for place in range(len(text)):
        capture.take(STDOUT, text[place : place + 1], 1.0)
    capture.finish(2.0)
    assert b"".join(chunk.data for chunk in chunks(run)) == text


def test_a_character_cut_by_two_reads_is_put_together_on_its_own_stream(run: Path) -> None:
    capture = capture_in(run)
    for out, err in zip("€".encode(), "😀x".encode(), strict=False):
        capture.take(STDOUT, bytes([out]), 1.0)
        capture.take(STDERR, bytes([err]), 1.0)
    capture.take(STDERR, "😀".encode()[3:], 1.0)
    assert [(chunk.stream, chunk.text) for chunk in chunks(run)] == [
        ("stdout", "€"),
        ("stderr", "😀"),
    ]


def test_numbering_goes_on_from_the_attempt_before(run: Path) -> None:
    capture = capture_in(run, printed=900, last_sequence=7)
    capture.take(STDOUT, b"again", 1.0)
    assert [(chunk.sequence, chunk.data) for chunk in chunks(run)] == [(8, b"again")]
    assert (capture.printed, capture.dropped, capture.last_sequence) == (905, 900, 8)


Step = tuple[int, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from([STDOUT, STDERR]),
        st.one_of(st.integers(1, 300), st.integers(3000, 40_000)),
        st.integers(0, 3) | st.just(0),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.lists(st.integers(1, 30_000), min_size=1, max_size=5))
def test_a_reader_who_follows_sees_each_byte_once_or_its_loss(
    tmp_path: Path, steps: list[Step], pages: list[int]
) -> None:
    """Promise 12: whatever was dropped before it was read shows as a jump of the sequence numbers."""
    run = tmp_path / f"run-{os.urandom(6).hex()}"
    capture, log = capture_in(run), SegmentLog(tmp_path)
    printed: dict[int, bytes] = {}  # what each chunk was when it was written
    since, lost, seen = 0, 0, list[int]()

    def look(page_bytes: int) -> bool:
        nonlocal since, lost
        page = log.read(
            run.name, since=since, max_bytes=page_bytes, max_chunks=1 << 30, stream=None
        )
        for chunk in page.chunks:
            assert chunk.data == printed[chunk.sequence]
            assert chunk.sequence > since
            if chunk.sequence > since + 1:
                assert not seen or chunk is page.chunks[0]
                assert page.first_available == chunk.sequence
                lost += sum(len(printed[gone]) for gone in range(since + 1, chunk.sequence))
            seen.append(chunk.sequence)
            since = chunk.sequence
        assert page.next_since == since
        return page.has_more

    for number, (stream, size, reads) in enumerate(steps):
        data = bytes([97 + number % 26]) * size
        first = capture.last_sequence + 1
        capture.take(stream, data, 1.0)
        pieces = cut_like(capture, data)
        assert capture.last_sequence == first + len(pieces) - 1
        printed.update(zip(range(first, first + len(pieces)), pieces, strict=True))
        for turn in range(reads):
            look(pages[turn % len(pages)])
    while look(pages[0]):
        pass
    assert sum(len(printed[each]) for each in seen) + lost == capture.printed
    assert since == capture.last_sequence


def cut_like(capture: Capture, data: bytes) -> list[bytes]:
    """Cut data as the capture does: into records that fit a segment, and those into chunks."""
    largest = LIMIT // SEGMENTS - HEADER.size
    records = [data[start : start + largest] for start in range(0, len(data), largest)]
    return [
        record[start : start + CHUNK]
        for record in records
        for start in range(0, len(record), CHUNK)
    ]


# -- a disk that does not play along -------------------------------------------------------------


def test_what_a_full_disk_does_not_take_is_counted_and_shows_as_a_gap(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 13: the job goes on and its readers are told."""
    capture = capture_in(run)
    capture.take(STDOUT, b"before", 1.0)
    with monkeypatch.context() as full:
        full.setattr(os, "writev", refuse)
        capture.take(STDOUT, b"lost" * 3000, 1.0)
    capture.take(STDERR, b"after", 1.0)
    assert [(chunk.sequence, chunk.data) for chunk in chunks(run)] == [
        (1, b"before"),
        (5, b"after"),
    ]
    assert (capture.printed, capture.dropped) == (12_011, 12_000)


def test_no_room_for_a_first_segment_is_no_end_either(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = capture_in(run)
    with monkeypatch.context() as full:
        full.setattr(os, "open", refuse)
        capture.take(STDOUT, b"lost", 1.0)
    capture.take(STDOUT, b"kept", 1.0)
    capture.finish(2.0)
    assert [(chunk.sequence, chunk.data) for chunk in chunks(run)] == [(2, b"kept")]


def test_after_half_a_record_that_cannot_be_taken_back_a_new_segment_begins(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = capture_in(run)
    capture.take(STDOUT, b"before", 1.0)
    with monkeypatch.context() as broken:
        broken.setattr(os, "writev", lambda fd, buffers: os.write(fd, buffers[0] + b"ha"))
        broken.setattr(os, "ftruncate", refuse)
        capture.take(STDOUT, b"half", 1.0)
    capture.take(STDOUT, b"after", 1.0)
    assert [(chunk.sequence, chunk.data) for chunk in chunks(run)] == [
        (1, b"before"),
        (3, b"after"),
    ]
    assert (segments(run), capture.dropped) == ([1, 2], 4)


def refuse(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_segment_that_a_reader_keeps_open_is_deleted_later(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where what is open cannot be deleted: the run goes on, nothing stays for good."""
    capture = capture_in(run)
    unlink, refused = os.unlink, []

    def unlink_unless_open(path: str) -> None:
        if path.endswith(("output.1", "output.2")) and len(refused) < 10:
            refused.append(path)
            raise PermissionError(errno.EACCES, "in use", path)
        unlink(path)

    monkeypatch.setattr(os, "unlink", unlink_unless_open)
    for number in range(400):
        capture.take(STDOUT, b"x" * 999 + b"\n", float(number))
    capture.finish(0.0)
    assert len(refused) == 10
    assert disk(run) <= LIMIT and 1 not in segments(run)
    assert sum(len(chunk.data) for chunk in chunks(run)) == capture.printed - capture.dropped
