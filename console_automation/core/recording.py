"""A session as an asciicast, version 2: the format that asciinema and its kin play.

One JSON value a line: a header, then events `[seconds, code, text]` whose seconds count from the
session's opening. "o" is output, "r" the terminal's new size, "m" a marker, which players show.

Whatever is not ASCII is escaped, so that a recording acts on nobody who reads it as text.
"""

import codecs
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from console_automation.core.job import TerminalSize
from console_automation.core.output import Chunk
from console_automation.core.session import Session
from console_automation.core.text import one_line

DROPPED = "the output before this is no longer kept"
_EVENT_BYTES = 40  #: of an event besides its text


class Recording:
    """Makes the lines of a session's recording, as its output comes in."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._opened_at = session.opened_at or session.spec.created_at
        self._sizes = deque(session.sizes)
        self._size: TerminalSize | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._seconds = 0.0
        self._last_sequence = 0

    def lines(self, chunks: Iterable[Chunk], *, gap: str = DROPPED) -> Iterator[str]:
        """Yield the lines of the next chunks; `gap` is the marker for output that is missing."""
        for chunk in chunks:
            if self._size is None:
                yield self._header(chunk.at)
            if chunk.sequence > self._last_sequence + 1:
                yield self._event(chunk.at, "m", gap)
            self._last_sequence = chunk.sequence
            yield from self._resizes(chunk.at)
            text = self._decoder.decode(chunk.data)
            if text:
                yield self._event(chunk.at, "o", text)

    def rest(self) -> Iterator[str]:
        """Yield what there is behind the last output."""
        if self._size is None:
            yield self._header(self._session.spec.created_at)
        text = self._decoder.decode(b"", final=True)
        if text:
            yield _line([self._seconds, "o", text])
        yield from self._resizes(float("inf"))

    def _header(self, at: float) -> str:
        """Return the header; the terminal has the size that it had at that time."""
        self._size = self._sizes.popleft().size
        while self._sizes and self._sizes[0].at <= at:
            self._size = self._sizes.popleft().size
        spec = self._session.spec
        environment = spec.command.environment
        shell = spec.command.executable if spec.shell else environment.get("SHELL")
        known = {"SHELL": shell, "TERM": environment.get("TERM")}
        return _line(
            {
                "version": 2,
                "width": self._size.cols,
                "height": self._size.rows,
                "timestamp": int(self._opened_at),
                "env": {name: value for name, value in known.items() if value},
                "title": one_line(spec.name or spec.command.line),
            }
        )

    def _resizes(self, until: float) -> Iterator[str]:
        while self._sizes and self._sizes[0].at <= until:
            sizing = self._sizes.popleft()
            yield self._event(sizing.at, "r", f"{sizing.size.cols}x{sizing.size.rows}")

    def _event(self, at: float, code: str, text: str) -> str:
        """Return an event; a clock that was set back does not turn the recording back."""
        self._seconds = max(self._seconds, round(at - self._opened_at, 6))
        return _line([self._seconds, code, text])


def fitting(session: Session, chunks: Sequence[Chunk], max_bytes: int) -> Sequence[Chunk]:
    """Return the newest chunks whose recording has no more than `max_bytes`; always one, if any."""
    size = _EVENT_BYTES * len(session.sizes) + 2048
    for index in range(len(chunks) - 1, -1, -1):
        size += len(_line(chunks[index].text)) + _EVENT_BYTES
        if size > max_bytes:
            return chunks[min(index + 1, len(chunks) - 1) :]
    return chunks


def _line(value: Any) -> str:
    return json.dumps(value) + "\n"
