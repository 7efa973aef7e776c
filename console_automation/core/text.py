"""Text that is safe to show: to a model, on a terminal, in a log line.

A job's output is data from a stranger. Control sequences, bidirectional overrides and the invisible
characters that can smuggle instructions are taken out; tabs and newlines stay.
"""

import json
import re
import signal
from datetime import UTC, datetime
from functools import lru_cache

# CSI, then OSC/DCS/SOS/PM/APC strings up to their end, or to that of the line: a string that is never
# ended must not hide what comes after it. Then the short escapes; 7-bit and 8-bit forms. One pass, no
# backtracking: every branch starts with its own byte.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)

# C0 but tab and newline, DEL, C1; soft hyphen, combining grapheme joiner, Arabic letter mark, Hangul
# and Mongolian fillers; zero-width characters, bidi marks, embeddings, overrides and isolates; word
# joiner and the invisible operators; line and paragraph separators; BOM, interlinear annotation;
# variation selectors supplement and the tag block; lone surrogates.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff]"
)

_SIGNALS = {each.value: each.name for each in signal.Signals}
_PLAIN = bytes([0x09, 0x0A, *range(0x20, 0x7F)])


def sanitize(text: str) -> str:
    """Return the text without anything that acts instead of showing.

    What a carriage return overwrote on its line is dropped, as a terminal would: of a progress bar
    the last state remains.
    """
    if text.isascii() and not text.encode("ascii").translate(None, _PLAIN):
        return text  # nearly all output, ten times as fast as the search
    if not _INVISIBLE.search(text):
        return text  # what begins a sequence is invisible too, and so is a carriage return
    text = _SEQUENCE.sub("", text)
    if "\r" in text:
        text = "\n".join(map(_overwritten, text.split("\n")))
    return _INVISIBLE.sub("", text)


def _overwritten(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2]


def one_line(text: str, width: int = 120) -> str:
    """Return the text sanitized, on one line, cut to `width` characters."""
    flat = " ".join(sanitize(text[: width * 8]).split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


@lru_cache(maxsize=256)  # the chunks of one read of the shim share their time
def iso(at: float) -> str:
    """Return epoch seconds as ISO 8601 UTC with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def signal_name(number: int) -> str:
    """Return a signal's name, SIG<n> for one that has none."""
    return _SIGNALS.get(number, f"SIG{number}")


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: 1 job, 2 jobs, 2 processes."""
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count} {noun}{ending}"


def human_bytes(count: int) -> str:
    """Return a size a person reads at a glance: 512 B, 14.2 kB, 3.0 MB."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def human_seconds(seconds: float) -> str:
    """Return a duration a person reads at a glance: 12 ms, 3.4 s, 5 min 12 s, 2 h 3 min."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def from_json(data: bytes) -> object:
    """Return what a JSON document of a stranger says, which can be told to anybody as JSON again.

    Raises ValueError for what is none: also for numbers that are not finite, and for halves of characters.
    Raises RecursionError for what is too deep.
    """
    value = json.loads(data, parse_constant=_no_number)
    check_tellable(value)
    return value


def check_tellable(value: object) -> None:
    """Raise ValueError for what nobody could be told as JSON: a number that is not finite, half of a
    character."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise ValueError(
            "must not contain half of a character (half of a surrogate pair)"
        ) from None


def _no_number(constant: str) -> object:
    raise ValueError(f"{constant} is no number of JSON")
