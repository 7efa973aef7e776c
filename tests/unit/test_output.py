"""The output log: what was written is what is read, however it was cut, paged and bounded."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console_automation.adapters.output_log import SegmentLog, chunk_ends
from console_automation.core.output import Chunk, Lines, Page, grep, last_lines
from console_automation.shim.capture import (
    CHUNK,
    HEADER,
    STDERR,
    STDOUT,
    Capture,
    chunks_in,
    incomplete_tail,
)

MANY = 1 << 30


def capture_in(path: Path, *, limit: int = 1 << 20, drop_newest: bool = False) -> Capture:
    path.mkdir(exist_ok=True)
    return Capture(str(path), limit=limit, drop_newest=drop_newest, printed=0, last_sequence=0)


def read(path: Path, since: int = 0, **wanted: int) -> Page:
    bounds = {"max_bytes": MANY, "max_chunks": MANY, **wanted}
    return SegmentLog(path.parent).read(path.name, since=since, stream=None, **bounds)


def size_of(path: Path) -> int:
    return sum(entry.stat().st_size for entry in path.iterdir())


PIECES = st.lists(
    st.tuples(
        st.sampled_from([STDOUT, STDERR]),
        st.one_of(
            st.binary(min_size=1, max_size=50),
            st.text(min_size=1, max_size=50).map(str.encode),
            st.integers(1, 3).map(lambda n: "é€😀".encode() * 700 * n),
        ),
    ),
    max_size=30,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PIECES, st.lists(st.integers(1, 9000), min_size=1, max_size=8))
def test_any_partition_of_reads_gives_back_the_bytes_of_each_stream_in_order(
    tmp_path: Path, pieces: list[tuple[int, bytes]], pages: list[int]
) -> None:
    run = tmp_path / f"run-{os.urandom(6).hex()}"
    capture = capture_in(run)
    for stream, data in pieces:
        capture.take(stream, data, 1.0)
    capture.finish(2.0)
    log = SegmentLog(run.parent)
    found: list[Chunk] = []
    since, turn = 0, 0
    while True:
        size = pages[turn % len(pages)]
        page = log.read(run.name, since=since, max_bytes=size, max_chunks=MANY, stream=None)
        found += page.chunks
        assert page.next_since >= since
        since, turn = page.next_since, turn + 1
        if not page.has_more:
            break
    assert [chunk.sequence for chunk in found] == list(range(1, capture.last_sequence + 1))
    for stream, name in ((STDOUT, "stdout"), (STDERR, "stderr")):
        printed = b"".join(data for each, data in pieces if each == stream)
        assert b"".join(c.data for c in found if c.stream == name) == printed
    assert capture.dropped == 0 and capture.printed == sum(len(data) for _, data in pieces)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1, max_size=3000), st.lists(st.integers(1, 2000), min_size=1))
def test_a_character_is_never_split_wherever_the_reads_cut_it(
    tmp_path: Path, text: str, cuts: list[int]
) -> None:
    run = tmp_path / f"run-{os.urandom(6).hex()}"
    capture = capture_in(run)
    data, turn = text.encode("utf-8", "surrogatepass"), 0
    text = data.decode("utf-8", "replace")
    while data:
        cut = cuts[turn % len(cuts)]
        capture.take(STDOUT, data[:cut], 1.0)
        data, turn = data[cut:], turn + 1
    capture.finish(2.0)
    page = read(run, max_bytes=MANY)
    if "�" not in text:
        assert "".join(chunk.text for chunk in page.chunks) == text


@given(st.binary(max_size=20000))
def test_a_record_is_cut_into_as_many_chunks_as_it_has_numbers(data: bytes) -> None:
    ends = list(chunk_ends(data))
    assert len(ends) == chunks_in(len(data))
    assert ends == sorted(set(ends)) and (not data or ends[-1] == len(data))
    assert all(end - start <= CHUNK + 3 for start, end in zip([0, *ends], ends, strict=False))


@pytest.mark.parametrize(
    ("data", "tail"),
    [
        (b"abc", 0),
        ("é".encode(), 0),
        ("é".encode()[:1], 1),
        (b"x" + "€".encode()[:2], 2),
        ("😀".encode()[:3], 3),
        (b"\x80\x80\x80", 0),
        (b"red \x1b", 1),
        (b"red \x1b[3", 3),
        (b"red \x1b[31m", 0),
        (b"\x1b]0;title", 9),
        (b"\x1b]0;title\x07", 0),
        (b"\x1b]0;title\x1b\\", 0),
        (b"\x1b]0;title\nnext", 0),
        (b"\x1b(", 2),
        (b"\x1b(B", 0),
        (b"\x1b[" + b"1;" * 40, 0),
        (b"\xff", 0),
        (b"", 0),
    ],
)
def test_only_the_beginning_of_a_character_or_a_sequence_is_held_back(
    data: bytes, tail: int
) -> None:
    assert incomplete_tail(data) == tail


def test_half_a_character_at_the_very_end_comes_out_as_it_is(tmp_path: Path) -> None:
    capture = capture_in(tmp_path / "run")
    capture.take(STDOUT, b"caf\xc3", 1.0)
    assert [chunk.data for chunk in read(tmp_path / "run").chunks] == [b"caf"]
    capture.finish(2.0)
    assert [chunk.data for chunk in read(tmp_path / "run").chunks] == [b"caf", b"\xc3"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, 70_000), min_size=1, max_size=40),
    st.sampled_from([65_536, 200_000, 1 << 20]),
    st.booleans(),
)
def test_the_disk_is_bounded_exactly_and_every_lost_byte_is_counted(
    tmp_path: Path, sizes: list[int], limit: int, drop_newest: bool
) -> None:
    run = tmp_path / f"run-{os.urandom(6).hex()}"
    capture = capture_in(run, limit=limit, drop_newest=drop_newest)
    for number, size in enumerate(sizes):
        capture.take(STDOUT, bytes([number]) * size, 1.0)
        assert size_of(run) <= limit
    capture.finish(2.0)
    page = read(run)
    kept = sum(len(chunk.data) for chunk in page.chunks)
    assert capture.printed == sum(sizes)
    assert capture.dropped == capture.printed - kept
    if not drop_newest and capture.dropped:
        assert page.next_since == capture.last_sequence
        assert kept >= min(limit - limit // 4, capture.printed) - 70_000


def test_what_was_dropped_shows_as_a_gap_and_the_cursor_stays_monotonic(tmp_path: Path) -> None:
    run = tmp_path / "run"
    capture = capture_in(run, limit=65_536)
    for _ in range(50):
        capture.take(STDOUT, b"x" * 4096, 1.0)
    page = read(run, since=2, max_bytes=5000)
    assert page.first_available is not None and page.first_available > 3
    assert page.chunks[0].sequence == page.first_available
    assert page.next_since > 2
    beyond = read(run, since=50)
    assert (beyond.chunks, beyond.next_since) == ((), 50)


def test_a_reader_never_sees_half_a_record(tmp_path: Path) -> None:
    run = tmp_path / "run"
    capture = capture_in(run)
    capture.take(STDOUT, b"whole", 1.0)
    with (run / "output.1").open("ab") as segment:
        segment.write(HEADER.pack(2, 5, 1.0, 100, STDOUT) + b"half")
    assert [chunk.data for chunk in read(run).chunks] == [b"whole"]


def test_a_write_that_fails_leaves_the_segment_whole_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    capture = capture_in(run)
    capture.take(STDOUT, b"one", 1.0)
    real = os.writev

    def full(fd: int, buffers: tuple[bytes, ...]) -> int:
        return os.write(fd, buffers[0][:7])

    monkeypatch.setattr(os, "writev", full)
    capture.take(STDOUT, b"two", 1.0)
    monkeypatch.setattr(os, "writev", real)
    capture.take(STDOUT, b"three", 1.0)
    page = read(run)
    assert [(chunk.sequence, chunk.data) for chunk in page.chunks] == [(1, b"one"), (3, b"three")]
    assert (capture.printed, capture.dropped) == (11, 3)


def chunk(sequence: int, text: str, stream: str = "stdout") -> Chunk:
    return Chunk(sequence, 1.0, stream, text.encode())


@pytest.mark.parametrize(
    ("texts", "count", "expected"),
    [
        (["a\nb\nc\n"], 1, ["c\n"]),
        (["a\nb\nc\n"], 2, ["b\nc\n"]),
        (["a\nb\nc"], 2, ["b\nc"]),
        (["a\n", "b\n", "c\n"], 2, ["b\n", "c\n"]),
        (["a\nb", "b\nc\n"], 2, ["b", "b\nc\n"]),
        (["a\n"], 5, ["a\n"]),
        (["\n\n\n"], 2, ["\n\n"]),
        ([], 3, []),
    ],
)
def test_the_last_lines_are_found_across_chunks(
    texts: list[str], count: int, expected: list[str]
) -> None:
    chunks = [chunk(number, text) for number, text in enumerate(texts, 1)]
    assert [each.text for each in last_lines(chunks, count)] == expected


@given(st.text(alphabet="ab\n", max_size=60), st.integers(1, 8), st.data())
def test_the_last_lines_are_those_of_the_whole_text(
    text: str, count: int, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    bounds = list(zip([0, *cuts], [*cuts, len(text)], strict=True))
    chunks = [chunk(n, text[a:b]) for n, (a, b) in enumerate(bounds, 1) if a < b]
    expected = "".join(text.splitlines(keepends=True)[-count:])
    assert "".join(each.text for each in last_lines(chunks, count)) == expected


def test_lines_are_put_together_per_stream() -> None:
    chunks = [chunk(1, "out-"), chunk(2, "err\n", "stderr"), chunk(3, "line\nrest")]
    lines = Lines()
    ended = [line for each in chunks for line in lines.ended_in(each)]
    assert [(line.sequence, line.stream, line.text) for line in ended] == [
        (2, "stderr", "err"),
        (3, "stdout", "out-line"),
    ]
    assert [(line.sequence, line.text) for line in lines.rest(4)] == [(4, "rest")]


def test_grep_gives_matches_with_their_context_and_none_twice() -> None:
    lines = list(Lines().ended_in(chunk(1, "a\nb\nX\nc\nd\nX\ne\nf\n")))
    found = grep(lines, lambda text: text == "X", invert=False, context=1)
    assert [line.text for line in found] == ["b", "X", "c", "d", "X", "e"]
    inverted = grep(lines, lambda text: text == "X", invert=True, context=0)
    assert [line.text for line in inverted] == ["a", "b", "c", "d", "e", "f"]
