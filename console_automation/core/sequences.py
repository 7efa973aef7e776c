"""The control sequences that programs print to a terminal, as one grammar.

A string (OSC, DCS, SOS, PM, APC) ends at BEL, CAN, SUB or at the next ESC; what ends it with ESC \\ is
then a sequence of its own that does nothing. So nothing inside a string is ever taken for a sequence,
and only the last ESC of a piece can begin something that the piece does not end. The 8-bit forms of
the introducers are not understood: in UTF-8 no program for xterm prints them.
"""

import re
from functools import lru_cache

CSI_BODY = (
    r"[\x00-\x17\x19\x1c-?\x7f]*+"  #: parameters, intermediates and the controls strewn among them
)
STRING_BODY = r"[^\x07\x18\x1a\x1b]*+"

_UNFINISHED = rf"\x1b(?:\[{CSI_BODY}|[\]PX^_]{STRING_BODY}|[ -/]*+)\Z"
_UNFINISHED_TEXT = re.compile(_UNFINISHED)
_UNFINISHED_BYTES = re.compile(_UNFINISHED.encode("ascii"))
_LONGEST = 1024  # of an unfinished sequence; of a longer one the rest means nothing to us

_BODY = re.compile(r"([<-?]?)([0-9;]*)([ -/]*)")
_CONTROLS = dict.fromkeys([*range(32), 127])
_LONGEST_BODY = 256
_MOST_PARAMETERS = 32
_GREATEST = 9999


def held_bytes(data: bytes) -> tuple[bytes, bytes]:
    """Return what can be read now, and the unfinished sequence to put before the next piece."""
    at = data.rfind(b"\x1b")
    if at < 0 or not _UNFINISHED_BYTES.match(data, at):
        return data, b""
    return data[:at], data[at : at + _LONGEST]


def held_text(text: str) -> tuple[str, str]:
    """Return the same of text."""
    at = text.rfind("\x1b")
    if at < 0 or not _UNFINISHED_TEXT.match(text, at):
        return text, ""
    return text[:at], text[at : at + _LONGEST]


def parse_csi(body: str, final: str) -> tuple[str, tuple[int, ...]]:
    """Return the function that a CSI sequence names, as in `?h`, `!p` or `A`, and its parameters.

    The name is empty if the sequence is none. A parameter that is left out is 0.
    """
    return _parsed(body, final) if len(body) <= _LONGEST_BODY else ("", ())


@lru_cache(maxsize=1024)
def _parsed(body: str, final: str) -> tuple[str, tuple[int, ...]]:
    match = _BODY.fullmatch(body.translate(_CONTROLS))
    if match is None:
        return "", ()
    prefix, numbers, intermediates = match.groups()
    parameters = numbers.split(";")[:_MOST_PARAMETERS]
    return prefix + intermediates + final, tuple(
        min(int(each or 0), _GREATEST) for each in parameters
    )
