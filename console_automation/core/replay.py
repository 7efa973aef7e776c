"""What of a session's output must not get to the terminal of somebody who watches it.

What a terminal answers is typed into the program. So questions that are answered already, or whose
asker has long gone on, are left out; and of output that is shown again, all that does not draw.
"""

import re

from console_automation.core.sequences import CSI_BODY, STRING_BODY, parse_csi

_SEQUENCES = re.compile(
    rb"\x1b(?:\[(?P<body>%b)(?P<final>[@-~])"
    rb"|\](?P<title>[02];)?(?:%b)(?:\x1b\\|[\x07\x18\x1a])?+"
    rb"|[PX^_](?:%b)(?:\x1b\\|[\x07\x18\x1a])?+"
    rb"|Z)"
    rb"|[\x05\x07]" % (CSI_BODY.encode(), STRING_BODY.encode(), STRING_BODY.encode())
)
_DRAWING = frozenset("@ABCDEFGHIJKLMPSTXZ`abdefghlrsu") | {"?J", "?K", "?h", "?l", "!p", " q"}
_CANCEL = b"\x18"  #: ends what was begun, so that nothing is joined where something was left out
_SCROLLBACK = 3  #: to be erased: that of the one who watches holds other things too
_KEPT_TITLES = (22, 23)  #: of what a window can be told, this changes nothing but the title

_BEGUN = re.compile(rb"\x1b(?:\[[0-?]*)?\Z")
_LONGEST_BEGUN = 64  #: bytes; what is longer is no question
#: Answered by whoever holds the terminal (`shim/wiring.py`); and what would have keys sent as no
#: program is told that they can be, and hide the key that detaches.
_ANSWERED = re.compile(rb"\x1b\[(?:0?c|5n|[<=>?][0-9;:]*u|[>?][0-9;]*m)")


def drawing(output: bytes) -> bytes:
    """Return what draws in output of which some time has passed: no question, no bell, no clipboard."""
    return _SEQUENCES.sub(lambda found: found[0] if _draws(found) else _CANCEL, output)


def _draws(found: re.Match[bytes]) -> bool:
    if found["final"] is None:
        return found["title"] is not None
    if found["final"] == b"m":
        return found["body"][:1] not in (b"<", b"=", b">", b"?")
    name, given = parse_csi(found["body"].decode("ascii"), found["final"].decode("ascii"))
    if name == "t":
        return given[0] in _KEPT_TITLES
    return name in _DRAWING and not (name in ("J", "?J") and given[0] == _SCROLLBACK)


def passing(output: bytes) -> tuple[bytes, bytes]:
    """Return what of a piece of output, as it is printed, goes to a terminal that is attached; and the
    beginning of a sequence at its end, which belongs before the next piece."""
    begun = _BEGUN.search(output, max(0, len(output) - _LONGEST_BEGUN))
    end = begun.start() if begun else len(output)
    whole = output[:end]
    return _ANSWERED.sub(b"", whole) if b"\x1b[" in whole else whole, output[end:]
