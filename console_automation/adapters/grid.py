"""The cells of a terminal's screen: pyte's, with what that lacks or does otherwise than xterm.

That is the alternate screen, one saved cursor for each screen, wide characters that are half
overwritten, marks of no width, scrolling, repeating, tabs backwards, and what happens at the edges.
Colours are not kept.
"""

import copy
import re
from collections import defaultdict
from functools import lru_cache
from typing import Any

import pyte
from pyte import modes as mo
from pyte.charsets import LAT1_MAP, VT100_MAP
from pyte.screens import Char, Margins, Savepoint, StaticDefaultDict, wcwidth

from console_automation.core.text import sanitize

_ASCII = re.compile(r"(?P<plain>[ -~]+)|.", re.DOTALL)
_MOST_MARKS = 8  # on one character; more show nothing and would be kept for ever

# Of the special graphics only these are xterm's; pyte has more, which are the Linux console's.
_LINES = LAT1_MAP[:0x5F] + VT100_MAP[0x5F:0x7F] + LAT1_MAP[0x7F:]

_BLANK = Char(" ")
_STUB = Char("")  # the second column of a wide character
_CELLS = {chr(code): Char(chr(code)) for code in range(0x20, 0x7F)}

_Row = StaticDefaultDict[int, Char]
_Rows = defaultdict[int, _Row]


def _blank_rows() -> _Rows:
    return defaultdict(lambda: StaticDefaultDict(_BLANK))


@lru_cache(maxsize=4096)
def _cell(character: str, width: int) -> Char:
    """Return a cell; of a character that would do more than show, as many blanks."""
    return Char(sanitize(character) or " " * width)


class Grid(pyte.Screen):
    """The cells of the main and the alternate screen, the cursor, and what sequences do to them."""

    buffer: _Rows

    def reset(self) -> None:
        super().reset()
        self.g1_charset = LAT1_MAP
        self.buffer = _blank_rows()
        self.alternate = False
        self._away = _blank_rows()  # the screen that does not show
        self._saved: dict[bool, Savepoint] = {}
        self._last = ""  # what REP repeats

    def reset_softly(self) -> None:
        """Set back what a program may have left switched on; the text stays."""
        self.margins = None
        self.mode = {mo.DECAWM, mo.DECTCEM} | (self.mode & {mo.LNM})
        self.charset, self.g0_charset, self.g1_charset = 0, LAT1_MAP, LAT1_MAP
        self._saved.pop(self.alternate, None)

    # Text

    def draw(self, data: str) -> None:
        charset = self.g1_charset if self.charset else self.g0_charset
        if charset is not LAT1_MAP:
            data = data.translate(charset)
        self._last = data[-1]
        if data.isascii():
            self._draw_plain(data)
            return
        for match in _ASCII.finditer(data):
            if match["plain"]:
                self._draw_plain(match[0])
            elif (width := wcwidth(match[0])) > 0:
                self._draw_one(match[0], min(width, self.columns))
            elif width == 0:
                self._mark(match[0])

    def repeat(self, count: int) -> None:
        """Draw the last character again; more than a screenful of it shows nothing more."""
        if self._last:
            self.draw(self._last * min(count, self.columns * self.lines))

    def _draw_plain(self, text: str) -> None:
        while text:
            x, row = self._room(1)
            part, text = text[: self.columns - x], text[self.columns - x :]
            end = x + len(part)
            if mo.IRM in self.mode:
                self.insert_characters(len(part))
            self._part(self.cursor.y, x)
            self._part(self.cursor.y, end)
            row.update(zip(range(x, end), map(_CELLS.__getitem__, part), strict=True))
            self.cursor.x = end

    def _draw_one(self, character: str, width: int) -> None:
        x, row = self._room(width)
        if mo.IRM in self.mode:
            self.insert_characters(width)
        self._part(self.cursor.y, x)
        self._part(self.cursor.y, x + width)
        row[x] = _cell(character, width)
        if width == 2 and len(row[x].data) == 1:
            row[x + 1] = _STUB
        elif width == 2:
            row[x] = row[x + 1] = _BLANK
        self.cursor.x = x + width

    def _room(self, width: int) -> tuple[int, _Row]:
        """Return where a character of this width goes, in the next row if this one is full."""
        if self.cursor.x + width > self.columns:
            if mo.DECAWM in self.mode:
                self.cursor.x = 0
                self.index()
            else:
                self.cursor.x = self.columns - width
        return self.cursor.x, self.buffer[self.cursor.y]

    def _mark(self, mark: str) -> None:
        x, row = self.cursor.x - 1, self.buffer[self.cursor.y]
        if x < 0 or not sanitize(mark):
            return
        if not row[x].data:
            x -= 1
        if len(row[x].data) <= _MOST_MARKS:
            row[x] = Char(row[x].data + mark)

    def _part(self, y: int, x: int) -> None:
        """See to it that no wide character reaches over the left edge of this column."""
        row = self.buffer[y]
        if not row[x].data:
            row[x - 1] = row[x] = _BLANK

    # Erasing and moving cells

    def erase(self, y: int, start: int, end: int) -> None:
        """Erase the columns of a row from `start` up to `end`."""
        self._part(y, start)
        self._part(y, end)
        for x in range(start, end):
            self.buffer[y].pop(x, None)

    def erase_in_line(self, how: int = 0, private: bool = False) -> None:
        # Behind a full row there is nothing to erase. xterm would take the last column, and that of
        # every row that a program prints whole and then erases the rest of, as top does.
        x, y = self.cursor.x, self.cursor.y
        if how in (0, 1, 2):
            start, end = ((x, self.columns), (0, x + 1), (0, self.columns))[how]
            self.erase(y, start, min(end, self.columns))

    def erase_in_display(self, how: int = 0, *args: Any, **kwargs: Any) -> None:
        y = self.cursor.y
        if how in (0, 1, 2):  # 3 is the scrollback's
            for each in (range(y + 1, self.lines), range(y), range(self.lines))[how]:
                self.buffer.pop(each, None)
            self.erase_in_line(how)

    def erase_characters(self, count: int | None = None) -> None:
        x, y = self.cursor.x, self.cursor.y
        self.erase(y, x, min(x + (count or 1), self.columns))

    def insert_characters(self, count: int | None = None) -> None:
        x, y = self._settled()
        count = min(count or 1, self.columns - x)
        self._part(y, x)
        self._part(y, self.columns - count)
        row = self.buffer[y]
        cells = [_BLANK] * count + [row[each] for each in range(x, self.columns - count)]
        row.update(zip(range(x, self.columns), cells, strict=True))

    def delete_characters(self, count: int | None = None) -> None:
        x, y = self._settled()
        count = min(count or 1, self.columns - x)
        self._part(y, x)
        self._part(y, x + count)
        row = self.buffer[y]
        cells = [row[each] for each in range(x + count, self.columns)] + [_BLANK] * count
        row.update(zip(range(x, self.columns), cells, strict=True))

    # Moving rows

    def insert_lines(self, count: int | None = None) -> None:
        self.delete_lines(-(count or 1))

    def delete_lines(self, count: int | None = None) -> None:
        top, bottom = self._region()
        if top <= self.cursor.y <= bottom:
            self._shift(self.cursor.y, bottom, count or 1)
            self.cursor.x = 0

    def scroll(self, count: int) -> None:
        """Move the text of the scroll region up, or down if `count` is negative."""
        self._shift(*self._region(), count)

    def index(self) -> None:
        _, y = self._settled()
        top, bottom = self._region()
        if y == bottom:
            self._shift(top, bottom, 1)
        elif y < self.lines - 1:
            self.cursor.y += 1

    def reverse_index(self) -> None:
        _, y = self._settled()
        top, bottom = self._region()
        if y == top:
            self._shift(top, bottom, -1)
        elif y > 0:
            self.cursor.y -= 1

    def _region(self) -> Margins:
        return self.margins or Margins(0, self.lines - 1)

    def _shift(self, top: int, bottom: int, count: int) -> None:
        rows = [(y, self.buffer.pop(y)) for y in range(top, bottom + 1) if y in self.buffer]
        for y, row in rows:
            if top <= y - count <= bottom:
                self.buffer[y - count] = row

    # The cursor

    def _settled(self) -> tuple[int, int]:
        """Return the cursor, back from behind the last column, where only text may wait."""
        self.cursor.x = min(self.cursor.x, self.columns - 1)
        return self.cursor.x, self.cursor.y

    def cursor_position(self, line: int | None = None, column: int | None = None) -> None:
        self.cursor_to_column(column)
        self.cursor_to_line(line)

    def cursor_to_line(self, line: int | None = None) -> None:
        top, bottom = self._region() if mo.DECOM in self.mode else (0, self.lines - 1)
        self.cursor.y = min(top + (line or 1) - 1, bottom)

    def cursor_up(self, count: int | None = None) -> None:
        _, y = self._settled()
        top, _ = self._region()
        self.cursor.y = max(y - (count or 1), top if y >= top else 0)

    def cursor_down(self, count: int | None = None) -> None:
        _, y = self._settled()
        _, bottom = self._region()
        self.cursor.y = min(y + (count or 1), bottom if y <= bottom else self.lines - 1)

    def tabs(self, count: int) -> None:
        """Move over so many tab stops, backwards if `count` is negative."""
        for _ in range(min(abs(count), self.columns)):
            if count > 0:
                self.tab()
            else:
                stops = (stop for stop in self.tabstops if stop < self.cursor.x)
                self.cursor.x = max(stops, default=0)

    def next_line(self) -> None:
        """Move to the beginning of the next row."""
        self.index()
        self.cursor.x = 0

    def set_margins(self, top: int | None = None, bottom: int | None = None) -> None:
        first = (top or 1) - 1
        last = min(bottom or self.lines, self.lines) - 1
        if first < last:
            self.margins = Margins(first, last) if (first, last + 1) != (0, self.lines) else None
            self.cursor_position()

    def save_cursor(self) -> None:
        self._saved[self.alternate] = Savepoint(
            copy.copy(self.cursor),
            self.g0_charset,
            self.g1_charset,
            self.charset,
            mo.DECOM in self.mode,
            mo.DECAWM in self.mode,
        )

    def restore_cursor(self) -> None:
        self.mode.discard(mo.DECOM)
        saved = self._saved.get(self.alternate)
        if saved is None:
            self.cursor_position()
            return
        if saved.origin:
            self.mode.add(mo.DECOM)
        self.g0_charset, self.g1_charset = saved.g0_charset, saved.g1_charset
        self.charset = saved.charset
        self.cursor = copy.copy(saved.cursor)
        self._keep_cursor_inside()

    def _keep_cursor_inside(self) -> None:
        self.cursor.x = min(self.cursor.x, self.columns)
        self.cursor.y = min(max(self.cursor.y, 0), self.lines - 1)

    # Modes and screens

    def designate(self, slot: str, lines: bool) -> None:
        """Let G0 or G1, which are called ( and ), be line drawing or letters as they are."""
        if slot == "(":
            self.g0_charset = _LINES if lines else LAT1_MAP
        else:
            self.g1_charset = _LINES if lines else LAT1_MAP

    def switch(self, numbers: tuple[int, ...], on: bool) -> None:
        """Set or reset modes of DEC and xterm; those that change neither text nor cursor are ignored."""
        for number in numbers:
            if number == 6:
                self._note(mo.DECOM, on)
                self.cursor_position()
            elif number == 7:
                self._note(mo.DECAWM, on)
            elif number in (47, 1047, 1048, 1049):
                self._show(number, on)

    def switch_ansi(self, numbers: tuple[int, ...], on: bool) -> None:
        """Set or reset insert mode and new-line mode."""
        for number in {mo.IRM, mo.LNM} & {*numbers}:
            self._note(number, on)

    def _note(self, mode: int, on: bool) -> None:
        if on:
            self.mode.add(mode)
        else:
            self.mode.discard(mode)

    def _show(self, number: int, on: bool) -> None:
        if on and number in (1048, 1049):
            self.save_cursor()
        if number != 1048 and on != self.alternate:
            if number == 1047 and not on:
                self.buffer.clear()
            self.buffer, self._away = self._away, self.buffer
            self.alternate = on
        if number == 1049 and on:
            self.buffer.clear()
        if not on and number in (1048, 1049):
            self.restore_cursor()

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        lines, columns = lines or self.lines, columns or self.columns
        other = self._saved.get(not self.alternate)
        self.buffer = self._cut(self.buffer, self.cursor, lines, columns)
        self._away = self._cut(self._away, other.cursor if other else None, lines, columns)
        self.tabstops |= set(range(-(-self.columns // 8) * 8, columns, 8)) if columns > 8 else set()
        self.lines, self.columns, self.margins = lines, columns, None
        self._keep_cursor_inside()

    def _cut(
        self, rows: _Rows, cursor: pyte.screens.Cursor | None, lines: int, columns: int
    ) -> _Rows:
        """Return what fits of a screen; rows go from the top if the cursor would be lost otherwise."""
        lost = max(0, cursor.y - lines + 1) if cursor else 0
        if cursor:
            cursor.y -= lost
        kept = _blank_rows()
        for y, row in rows.items():
            if 0 <= y - lost < lines:
                kept[y - lost].update((x, cell) for x, cell in row.items() if x < columns)
                if not row[columns].data:
                    kept[y - lost][columns - 1] = _BLANK
        return kept

    def text(self, y: int) -> str:
        """Return a row as text."""
        row = self.buffer.get(y)
        if not row:
            return ""
        text = "".join(row[x].data for x in range(min(max(row) + 1, self.columns)))
        return text.rstrip(" ")
