"""The modes of a terminal that change what typing sends.

Cheaper than `core.modes`, because it is fed with everything that a session prints, be it a flood of
sequences: of every piece only the last switch of each mode counts, and that is found from the end.
"""

from collections.abc import Mapping

_RESETS = (b"\x1bc", b"\x1b[!p")
#: Switched on, switched off. As programs write them: a mode among others in one sequence is not seen.
_SWITCHES: Mapping[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]] = {
    "application_cursor": ((b"\x1b[?1h",), (b"\x1b[?1l", *_RESETS)),
    "bracketed_paste": ((b"\x1b[?2004h",), (b"\x1b[?2004l", b"\x1bc")),
    "alternate_screen": (
        (b"\x1b[?1049h", b"\x1b[?1047h", b"\x1b[?47h"),
        (b"\x1b[?1049l", b"\x1b[?1047l", b"\x1b[?47l", b"\x1bc"),
    ),
}


class InputModes:
    """Kept up to date by what is printed; whoever feeds it guarantees that no sequence is cut."""

    def __init__(self) -> None:
        self.application_cursor = False  #: arrows, Home and End send their application codes
        self.bracketed_paste = False  #: the program wants to know where a paste begins and ends
        self.alternate_screen = False  #: a full-screen program draws

    def feed(self, data: bytes) -> None:
        """Take the next piece of output."""
        if b"\x1b" not in data:
            return
        for name, (on, off) in _SWITCHES.items():
            last_on = max(map(data.rfind, on))
            last_off = max(map(data.rfind, off))
            if last_on != last_off:
                setattr(self, name, last_on > last_off)
