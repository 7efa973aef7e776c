"""The screen of a terminal, drawn from its output.

The grid has the cells; this reads the output. pyte's own parser is not used: it raises at sequences
that it does not know and shows what is inside of others. Whatever the output is, nothing here raises.
"""

import codecs
import re
from collections.abc import Callable

from console_automation.adapters.grid import Grid
from console_automation.core.modes import TerminalModes
from console_automation.core.screen import ScreenSnapshot
from console_automation.core.sequences import CSI_BODY, STRING_BODY, held_text, parse_csi
from console_automation.core.text import sanitize

_TOKENS = re.compile(
    rf"(?P<text>[^\x00-\x1f\x7f]++)"
    rf"|\x1b\[(?P<body>{CSI_BODY})(?P<final>[@-~]?)"
    rf"|\x1b[\]PX^_]{STRING_BODY}[\x07\x18\x1a]?+"
    r"|\x1b(?P<escape>[ -/]*+[0-~]?)"
    r"|(?P<control>[\x00-\x1f\x7f])"
)

_CONTROLS: dict[str, Callable[[Grid], None]] = {
    "\b": Grid.backspace,
    "\t": Grid.tab,
    "\n": Grid.linefeed,
    "\v": Grid.linefeed,
    "\f": Grid.linefeed,
    "\r": Grid.carriage_return,
    "\x0e": Grid.shift_out,
    "\x0f": Grid.shift_in,
}

_ESCAPES: dict[str, Callable[[Grid], None]] = {
    "7": Grid.save_cursor,
    "8": Grid.restore_cursor,
    "D": Grid.index,
    "E": Grid.next_line,
    "H": Grid.set_tab_stop,
    "M": Grid.reverse_index,
    "c": Grid.reset,
    "#8": Grid.alignment_display,
}

#: Functions with one parameter, which is 1 if it is left out or 0.
_COUNTED: dict[str, Callable[[Grid, int], None]] = {
    "@": Grid.insert_characters,
    "A": Grid.cursor_up,
    "B": Grid.cursor_down,
    "C": Grid.cursor_forward,
    "D": Grid.cursor_back,
    "E": Grid.cursor_down1,
    "F": Grid.cursor_up1,
    "G": Grid.cursor_to_column,
    "I": Grid.tabs,
    "L": Grid.insert_lines,
    "M": Grid.delete_lines,
    "P": Grid.delete_characters,
    "S": Grid.scroll,
    "X": Grid.erase_characters,
    "Z": lambda grid, count: grid.tabs(-count),
    "`": Grid.cursor_to_column,
    "a": Grid.cursor_forward,
    "b": Grid.repeat,
    "d": Grid.cursor_to_line,
    "e": Grid.cursor_down,
}

#: The others; they get all their parameters, at least one.
_CALLED: dict[str, Callable[[Grid, tuple[int, ...]], None]] = {
    "H": lambda grid, given: grid.cursor_position(*given[:2]),
    "f": lambda grid, given: grid.cursor_position(*given[:2]),
    "J": lambda grid, given: grid.erase_in_display(given[0]),
    "?J": lambda grid, given: grid.erase_in_display(given[0]),
    "K": lambda grid, given: grid.erase_in_line(given[0]),
    "?K": lambda grid, given: grid.erase_in_line(given[0]),
    "T": lambda grid, given: grid.scroll(-(given[0] or 1)) if len(given) == 1 else None,
    "g": lambda grid, given: grid.clear_tab_stop(given[0]),
    "h": lambda grid, given: grid.switch_ansi(given, True),
    "l": lambda grid, given: grid.switch_ansi(given, False),
    "?h": lambda grid, given: grid.switch(given, True),
    "?l": lambda grid, given: grid.switch(given, False),
    "r": lambda grid, given: grid.set_margins(*given[:2]),
    "s": lambda grid, given: grid.save_cursor() if given == (0,) else None,
    "u": lambda grid, given: grid.restore_cursor() if given == (0,) else None,
    "!p": lambda grid, given: grid.reset_softly(),
}


class TerminalScreen:
    """A screen of `cols` by `rows` that is fed with output and shows what a person would see."""

    def __init__(self, cols: int, rows: int) -> None:
        self._grid = Grid(cols, rows)
        self._modes = TerminalModes()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def feed(self, data: bytes) -> None:
        """Draw the next piece of output, cut anywhere."""
        self._modes.feed(data)
        text, self._held = held_text(self._held + self._decoder.decode(data))
        for token in _TOKENS.finditer(text):
            kind = token.lastgroup
            if kind == "text":
                self._grid.draw(token[0])
            elif kind == "control":
                self._control(token[0])
            elif kind == "final":
                self._sequence(token["body"], token["final"])
            elif kind == "escape":
                self._escape(token["escape"])

    def resize(self, cols: int, rows: int) -> None:
        """Give the screen another size. The row with the cursor stays, others go from the top."""
        self._modes.resized()
        self._grid.resize(rows, cols)

    def snapshot(self) -> ScreenSnapshot:
        """Return what is on the screen now."""
        grid, modes = self._grid, self._modes
        return ScreenSnapshot(
            lines=tuple(sanitize(grid.text(y)).rstrip() for y in range(grid.lines)),
            cursor_column=min(grid.cursor.x, grid.columns - 1),
            cursor_row=grid.cursor.y,
            cursor_visible=modes.cursor_visible,
            cols=grid.columns,
            rows=grid.lines,
            title=modes.title,
            alternate=grid.alternate,
        )

    def _control(self, control: str) -> None:
        if control in _CONTROLS:
            _CONTROLS[control](self._grid)

    def _escape(self, escape: str) -> None:
        if escape in _ESCAPES:
            _ESCAPES[escape](self._grid)
        elif len(escape) == 2 and escape[0] in "()":
            self._grid.designate(escape[0], escape[1] == "0")

    def _sequence(self, body: str, final: str) -> None:
        for control in body:
            if control in _CONTROLS:  # a terminal obeys it at once, and reads on
                self._control(control)
        name, given = parse_csi(body, final)
        if name in _COUNTED:
            _COUNTED[name](self._grid, given[0] or 1)
        elif name in _CALLED:
            _CALLED[name](self._grid, given)
