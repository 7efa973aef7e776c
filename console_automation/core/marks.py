"""The marks of an integrated shell in what its terminal receives.

They are short OSC 133 sequences. Between the mark that begins a command and the one that ends it lies
the command's output; an id that nobody else knows makes the two belong together.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class MarkKind(StrEnum):
    """What a shell tells with a mark."""

    PROMPT = "A"  #: a shell of this kind shows its prompt and waits for a command
    BEGIN = "C"  #: a command begins; without an id it was typed by hand
    END = "D"  #: the command with this id has ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One mark, and where it stands: `start` is its first byte, `end` the one behind its last."""

    kind: MarkKind
    command_id: str | None = None
    exit_code: int | None = None
    shell: str | None = None  #: of a prompt: the kind of shell that shows it
    start: int
    end: int


_MARK = re.compile(
    rb"\x1b\]133;(?:A;(bash|zsh|sh|fish)|(C)(?:;([0-9a-f]{16}))?|(D);(-?[0-9]{1,10});([0-9a-f]{16}))\x07"
)


def find_marks(data: bytes) -> list[Mark]:
    """Return the marks in the data, in their order.

    What only looks like one is no mark: other terminals' extensions of OSC 133, an end without an id.
    """
    return [_mark(found) for found in _MARK.finditer(data)]


def _mark(found: re.Match[bytes]) -> Mark:
    prompt, begin, begun, _, code, ended = found.groups()
    kind = MarkKind.PROMPT if prompt else MarkKind.BEGIN if begin else MarkKind.END
    command_id = begun or ended
    return Mark(
        kind=kind,
        command_id=command_id.decode("ascii") if command_id else None,
        exit_code=int(code) if code else None,
        shell=prompt.decode("ascii") if prompt else None,
        start=found.start(),
        end=found.end(),
    )
