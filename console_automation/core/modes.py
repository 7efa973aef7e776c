"""What a terminal's output has switched on or off, without the screen it draws.

A screen is drawn when somebody looks, from the end of the output. What was printed long before that
may still hold: which keys an arrow sends, whether a paste is bracketed, that the program is on the
alternate screen. This keeps it, at the price of a search for ESC.
"""

import re

from console_automation.core.sequences import CSI_BODY, STRING_BODY, held_bytes, parse_csi
from console_automation.core.text import one_line

TITLE_WIDTH = 200  #: characters

_MOST_TITLES = 10  # as many as xterm keeps on its stack
_ALTERNATE = 1049
_SAME = {47: _ALTERNATE, 1047: _ALTERNATE}  # older ways to the alternate screen
_PRIVATE_AT_START = frozenset({7, 25})
_MOUSE = (9, 1000, 1001, 1002, 1003, 1005, 1006, 1015, 1016)
_PRIVATE = (1, 6, 7, 25, *_MOUSE, 1004, 2004)
_ANSI = (4, 20)
_SOFT = frozenset({1, 6, 7, 25})  # what a soft reset sets back

_SHIFTS = rb"|(?P<shift>[\x0e\x0f])"
_SEQUENCE = (
    rb"\x1b(?:\[(?P<body>%b)(?P<final>[hlpqrt])"
    rb"|\](?P<string>%b)(?![\x18\x1a])"
    rb"|[PX^_]%b"
    rb"|(?P<charset>[()][0-~])"
    rb"|(?P<keypad>[=>])"
    rb"|(?P<reset>c))"
) % (CSI_BODY.encode(), STRING_BODY.encode(), STRING_BODY.encode())
_SEQUENCES = re.compile(_SEQUENCE)
_SEQUENCES_AND_SHIFTS = re.compile(_SEQUENCE + _SHIFTS)  # slower: it cannot look for ESC alone


class TerminalModes:
    """The modes of a terminal, kept up to date by what is printed to it.

    What ESC 7 saves and ESC 8 brings back (origin mode, character sets) is not followed.
    """

    def __init__(self) -> None:
        self._held = b""
        self._reset()

    def _reset(self) -> None:
        self._private = set(_PRIVATE_AT_START)
        self._ansi: set[int] = set()
        self._charsets = {"(": "B", ")": "B"}
        self._shifted = False
        self._application_keypad = False
        self._cursor_shape = 0  # as DECSCUSR numbers them; 0 is the terminal's own
        self._titles: list[str] = []
        self.title = ""
        self.scroll_region: tuple[int, int] | None = (
            None  #: first and last row, from 1; last 0 means the end
        )

    @property
    def application_cursor(self) -> bool:
        """Whether arrows, Home and End send their application codes (DECCKM)."""
        return 1 in self._private

    @property
    def bracketed_paste(self) -> bool:
        """Whether the program wants to know where a paste begins and ends."""
        return 2004 in self._private

    @property
    def alternate_screen(self) -> bool:
        """Whether a full-screen program draws on the alternate screen."""
        return _ALTERNATE in self._private

    @property
    def cursor_visible(self) -> bool:
        """Whether the cursor shows."""
        return 25 in self._private

    @property
    def origin(self) -> bool:
        """Whether rows are counted from the top of the scroll region (DECOM)."""
        return 6 in self._private

    @property
    def autowrap(self) -> bool:
        """Whether text goes on in the next row when one is full (DECAWM)."""
        return 7 in self._private

    @property
    def line_drawing(self) -> bool:
        """Whether small letters draw lines: the character set in use is DEC's special graphics."""
        return self._charsets[")" if self._shifted else "("] == "0"

    def feed(self, data: bytes) -> None:
        """Take the next piece of output, cut anywhere."""
        shifts = b"\x0e" in data or b"\x0f" in data
        if not self._held and not shifts and b"\x1b" not in data:
            return
        data, self._held = held_bytes(self._held + data)
        pattern = _SEQUENCES_AND_SHIFTS if shifts else _SEQUENCES
        for match in pattern.finditer(data):
            self._obey(match)

    def resized(self) -> None:
        """Note that the terminal has another size now, which ends a scroll region."""
        self.scroll_region = None

    def preamble(self) -> bytes:
        """Return what brings a fresh terminal into these modes, and into the unfinished sequence."""
        parts = ["\x1b[?1049h"] if self.alternate_screen else []
        parts += [f"\x1b]2;{title}\x1b\\\x1b[22;2t" for title in self._titles]
        if self.title or self._titles:
            parts.append(f"\x1b]2;{self.title}\x1b\\")
        if self.scroll_region:
            parts.append("\x1b[{};{}r".format(*self.scroll_region))
        parts += [f"\x1b[?{mode}{'h' if on else 'l'}" for mode, on in self._switched()]
        parts += [f"\x1b[{mode}h" for mode in _ANSI if mode in self._ansi]
        parts += [f"\x1b{slot}0" for slot, name in self._charsets.items() if name == "0"]
        if self._shifted:
            parts.append("\x0e")
        if self._application_keypad:
            parts.append("\x1b=")
        if self._cursor_shape:
            parts.append(f"\x1b[{self._cursor_shape} q")
        return "".join(parts).encode("utf-8") + self._held

    def undo(self) -> bytes:
        """Return what brings a terminal out of these modes again; what it shows stays, if it can."""
        parts = ["\x18"] if self._held else []  # CAN, which ends what was begun
        parts += [f"\x1b[?{mode}{'l' if on else 'h'}" for mode, on in self._switched()]
        parts += [f"\x1b[{mode}l" for mode in _ANSI if mode in self._ansi]
        if self.scroll_region:
            parts.append("\x1b7\x1b[r\x1b8")  # it takes the cursor away
        if self._application_keypad:
            parts.append("\x1b>")
        if self._cursor_shape:
            parts.append("\x1b[0 q")
        if self.alternate_screen:
            parts.append("\x1b[?1049l")
        parts += ["\x1b[23;2t"] * len(self._titles)
        parts.append("\x1b(B\x1b)B\x0f\x1b[m")
        return "".join(parts).encode("ascii")

    def _switched(self) -> list[tuple[int, bool]]:
        """Return the private modes that are not as at the start, and whether they are on."""
        changed = self._private ^ _PRIVATE_AT_START
        return [(mode, mode in self._private) for mode in _PRIVATE if mode in changed]

    def _obey(self, match: re.Match[bytes]) -> None:
        kind = match.lastgroup
        if kind == "final":
            body = match["body"].decode("ascii")
            for control in body:
                if control in "\x0e\x0f":
                    self._shifted = control == "\x0e"
            self._call(*parse_csi(body, match["final"].decode("ascii")))
        elif kind == "string":
            self._entitle(match["string"])
        elif kind == "charset":
            designated = match["charset"].decode("ascii")
            self._charsets[designated[0]] = designated[1]
        elif kind == "keypad":
            self._application_keypad = match["keypad"] == b"="
        elif kind == "shift":
            self._shifted = match["shift"] == b"\x0e"
        elif kind == "reset":
            self._reset()

    def _call(self, name: str, parameters: tuple[int, ...]) -> None:
        if name in ("?h", "?l"):
            kept = {_SAME.get(mode, mode) for mode in parameters} & {*_PRIVATE, _ALTERNATE}
            self._private = self._private | kept if name == "?h" else self._private - kept
        elif name in ("h", "l"):
            kept = set(parameters) & set(_ANSI)
            self._ansi = self._ansi | kept if name == "h" else self._ansi - kept
        elif name == "r":
            first, last = (*parameters, 0)[:2]
            if not last or first < last:
                self.scroll_region = (first or 1, last) if first > 1 or last else None
        elif name == "!p":
            self._reset_softly()
        elif name == " q":
            self._cursor_shape = parameters[0]
        elif name == "t":
            self._stack(parameters)

    def _reset_softly(self) -> None:
        self._private = (self._private - _SOFT) | _PRIVATE_AT_START
        self._ansi = self._ansi - {4}
        self._charsets = {"(": "B", ")": "B"}
        self._shifted = False
        self._application_keypad = False
        self.scroll_region = None

    def _entitle(self, string: bytes) -> None:
        code, _, title = string.partition(b";")
        if code in (b"0", b"2"):
            self.title = one_line(title[: TITLE_WIDTH * 4].decode("utf-8", "replace"), TITLE_WIDTH)

    def _stack(self, parameters: tuple[int, ...]) -> None:
        action, which = (*parameters, 0)[:2]
        if which in (0, 2):  # 1 is the icon's
            if action == 22:
                self._titles = [*self._titles, self.title][-_MOST_TITLES:]
            elif action == 23 and self._titles:
                *self._titles, self.title = self._titles
