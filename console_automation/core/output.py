"""Output as readers see it: chunks of the two streams with sequence numbers, and lines made of them.

Pure: the files behind it are read by `adapters.output_log`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one stream. Sequence numbers count from 1 per job, over both streams."""

    sequence: int
    at: float
    stream: str
    data: bytes

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Consecutive chunks. `next_since` is the cursor for the page after it."""

    chunks: tuple[Chunk, ...] = ()
    next_since: int = 0
    has_more: bool = False
    first_available: int | None = None  #: the oldest sequence number still retained


def last_lines(chunks: Iterable[Chunk], count: int) -> tuple[Chunk, ...]:
    """Return the chunks that hold the last `count` lines, the first of them cut to its part."""
    kept: list[Chunk] = []
    wanted = count
    for chunk in reversed(list(chunks)):
        ends = chunk.data.count(b"\n")
        if not kept and chunk.data.endswith(b"\n"):
            ends -= 1  # the newline that ends the last line begins no line
        if ends >= wanted:
            stop = len(chunk.data) - (1 if not kept and chunk.data.endswith(b"\n") else 0)
            at = stop
            for _ in range(wanted):
                at = chunk.data.rindex(b"\n", 0, at)
            rest = chunk.data[at + 1 :]
            if rest:
                kept.append(replace(chunk, data=rest))
            return tuple(reversed(kept))
        wanted -= ends
        kept.append(chunk)
    return tuple(reversed(kept))


LONGEST_LINE = 12_288  #: bytes; one chunk more makes a piece of a line that is even longer


@dataclass(frozen=True, slots=True)
class Line:
    """A whole line of one stream, with the chunk it began in."""

    sequence: int
    at: float
    stream: str
    text: str


def lines_of(chunks: Iterable[Chunk]) -> Iterator[Line]:
    """Yield the lines of both streams in the order of their ends; what has no end comes last.

    A line that is longer than anybody reads comes in pieces.
    """
    open_lines: dict[str, tuple[Chunk, bytes]] = {}
    for chunk in chunks:
        first, rest = open_lines.pop(chunk.stream, (chunk, b""))
        if len(rest) > LONGEST_LINE:
            yield _line(first, rest)
            first, rest = chunk, b""
        *whole, rest = (rest + chunk.data).split(b"\n")
        for text in whole:
            yield _line(first, text)
            first = chunk
        if rest:
            open_lines[chunk.stream] = (first, rest)
    for first, rest in sorted(open_lines.values(), key=lambda pair: pair[0].sequence):
        yield _line(first, rest)


def _line(first: Chunk, text: bytes) -> Line:
    return Line(first.sequence, first.at, first.stream, text.decode("utf-8", "replace"))


def grep(
    lines: Iterable[Line], matches: Callable[[str], bool], *, invert: bool, context: int
) -> Iterator[Line]:
    """Yield the lines that match (or do not), each with `context` lines around it, none twice."""
    before: list[Line] = []
    after = 0
    for line in lines:
        if matches(line.text) != invert:
            yield from before
            yield line
            before.clear()
            after = context
        elif after:
            yield line
            after -= 1
        elif context:
            before.append(line)
            del before[:-context]
