"""What a job tells of itself over the files it is given: its progress, its log, its result.

The progress file has a JSON object in each line: `{"progress": 3, "total": 10, "message": "..."}`,
`{"log": "..."}`, or `{"error": "..."}`, which says why it is about to fail. Any program may write
them, so nothing in them is trusted: what makes no sense is passed over, what is long is cut.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from console_automation.core.text import one_line

_LONGEST_LINE = 8_192  #: bytes; a longer one is passed over
_LONGEST_TEXT = 1_000  #: characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job is, in units of its own."""

    done: float
    total: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A line of a job's own log."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Why the job fails, in its own words."""

    text: str


Told = Progress | Logged | Explained


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run that is over has left: its result as JSON, or what is wrong with that; an error."""

    result: str | None = None
    mismatch: str | None = None
    error: str | None = None


def told(data: bytes) -> Iterator[Told]:
    """Yield what the whole lines of a progress file say."""
    for line in data.split(b"\n"):
        if line and len(line) <= _LONGEST_LINE:
            try:
                said = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(said, dict):
                yield from _read(said)


def _read(said: dict[str, Any]) -> Iterator[Told]:
    done = _number(said.get("progress"))
    if done is not None:
        message = _line(said.get("message")) or ""
        yield Progress(done=done, total=_number(said.get("total")), message=message)
    if (text := _line(said.get("log"))) is not None:
        yield Logged(text=text)
    if (text := _line(said.get("error"))) is not None:
        yield Explained(text=text)


def _line(value: object) -> str | None:
    return one_line(value, _LONGEST_TEXT) if isinstance(value, str) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None
