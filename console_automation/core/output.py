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


def text_of(chunks: Iterable[Chunk]) -> str:
    """Return what consecutive chunks say together, characters that lie across two of them whole."""
    return b"".join(chunk.data for chunk in chunks).decode("utf-8", "replace")


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
    """A whole line of one stream, with the chunk it ended in: a cursor there is behind the line."""

    sequence: int
    at: float
    stream: str
    text: str


class Lines:
    """Puts lines together from chunks, for each stream its own.

    A line that is longer than anybody reads comes in pieces. `may_hold` looks at many lines at once
    and says whether any of them can be of interest; the others are passed over.
    """

    def __init__(self, may_hold: Callable[[bytes], bool] = lambda text: True) -> None:
        self._may_hold = may_hold
        self._open: dict[str, tuple[Chunk, bytes]] = {}

    def ended_in(self, chunk: Chunk) -> Iterator[Line]:
        """Take the next chunk and yield the lines that end in it."""
        first, rest = self._open.pop(chunk.stream, (chunk, b""))
        if len(rest) > LONGEST_LINE:
            yield _line(chunk.sequence, first, rest)
            first, rest = chunk, b""
        text = rest + chunk.data
        if self._may_hold(text):
            *whole, rest = text.split(b"\n")
            for each in whole:
                yield _line(chunk.sequence, first, each)
                first = chunk
        else:
            end = text.rfind(b"\n") + 1
            rest, first = text[end:], chunk if end else first
        if rest:
            self._open[chunk.stream] = (first, rest)

    def rest(self, sequence: int) -> Iterator[Line]:
        """Yield what never ended; `sequence` stands for the end of everything."""
        for first, rest in sorted(self._open.values(), key=lambda line: line[0].sequence):
            yield _line(sequence, first, rest)


def _line(sequence: int, first: Chunk, text: bytes) -> Line:
    return Line(sequence, first.at, first.stream, text.decode("utf-8", "replace"))


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
