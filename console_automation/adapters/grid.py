"""The cells of a terminal's screen: pyte's, with what that lacks or does otherwise than xterm.

That is the alternate screen, one saved cursor for each screen, wide characters that are half
overwritten, marks of no width, scrolling, repeating, tabs backwards, and what happens at the edges.
Colours are not kept.

A sequence of a few bytes may move the whole screen, and a program may print nothing else. So a row is
a list, a blank one is none, and an operation copies slices: its price hardly grows with the screen.
"""

import re
from bisect import bisect_left, bisect_right, insort
from functools import lru_cache
from typing import Any

import pyte
from pyte import modes as mo
from pyte.charsets import LAT1_MAP, VT100_MAP
from pyte.screens import Char, Cursor, Margins, Savepoint, wcwidth

from console_automation.core.text import sanitize

_ASCII = re.compile(r"(?P<plain>[ -~]+)|.", re.DOTALL)
_MOST_MARKS = 8  # on one character; more show nothing and would be kept for ever

# Of the special graphics only these are xterm's; pyte has more, which are the Linux console's.
_LINES = LAT1_MAP[:0x5F] + VT100_MAP[0x5F:0x7F] + LAT1_MAP[0x7F:]

_BLANK = Char(" ")
_STUB = Char("")  # the second column of a wide character
_CELLS = {chr(code): Char(chr(code)) for code in range(0x20, 0x7F)}

_Row = list[Char]
_Rows = list[_Row | None]  # none: a blank one


@lru_cache(maxsize=4096)
def _cells(character: str, width: int) -> _Row:
    """Return the cells of a character; of one that would do more than show, as many blanks."""
    shown = sanitize(character)
    return [Char(shown)] + [_STUB] * (width - 1) if shown else [_BLANK] * width


class Grid(pyte.Screen):
    """The cells of the main and the alternate screen, the cursor, and what sequences do to them."""

    def reset(self) -> None:
        # Not pyte's: that takes every row and every tab stop in hand for two bytes of output.
        self.mode = {mo.DECAWM, mo.DECTCEM}
        self.margins = None
        self.charset, self.g0_charset, self.g1_charset = 0, LAT1_MAP, LAT1_MAP
        self.cursor = Cursor(0, 0)
        self.alternate = False
        self._rows: _Rows = [None] * self.lines
        self._away: _Rows = [None] * self.lines  # the screen that does not show
        self._aligned = [_CELLS["E"]] * self.columns  # one for many rows, so never written to
        self._stops = list(range(8, self.columns, 8))
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
                self._room(width := min(width, self.columns))
                self._put(_cells(match[0], width))
            elif width == 0:
                self._mark(match[0])

    def repeat(self, count: int) -> None:
        """Draw the last character again, up to the end of a row: that is what programs use it for."""
        width = min(wcwidth(self._last), self.columns) if self._last else -1
        if width > 0:
            x = self._room(width)
            self._put(_cells(self._last, width) * min(count, (self.columns - x) // width))
        elif width == 0:
            for _ in range(min(count, _MOST_MARKS)):
                self._mark(self._last)

    def _draw_plain(self, text: str) -> None:
        at = 0
        while at < len(text):
            part = text[at : at + self.columns - self._room(1)]
            self._put([_CELLS[each] for each in part])
            at += len(part)

    def _room(self, width: int) -> int:
        """Return where a character of this width goes, in the next row if this one is full."""
        if self.cursor.x + width > self.columns:
            if mo.DECAWM in self.mode:
                self.cursor.x = 0
                self.index()
            else:
                self.cursor.x = self.columns - width
        return self.cursor.x

    def _put(self, cells: _Row) -> None:
        """Put cells where the cursor is, in a row that has room for them."""
        if mo.IRM in self.mode:
            self.insert_characters(len(cells))
        x, end, row = self.cursor.x, self.cursor.x + len(cells), self._row(self.cursor.y)
        _part(row, x)
        _part(row, end)
        row[x:end] = cells
        self.cursor.x = end

    def _row(self, y: int) -> _Row:
        """Return a row to write to."""
        row = self._rows[y]
        if row is None:
            row = self._rows[y] = [_BLANK] * self.columns
        elif row is self._aligned:
            row = self._rows[y] = row.copy()
        return row

    def _mark(self, mark: str) -> None:
        x, row = self.cursor.x - 1, self._row(self.cursor.y)
        if x < 0 or not sanitize(mark):
            return
        if not row[x].data:
            x -= 1
        if len(row[x].data) <= _MOST_MARKS:
            row[x] = Char(row[x].data + mark)

    # Erasing and moving cells

    def erase(self, y: int, start: int, end: int) -> None:
        """Erase the columns of a row from `start` up to `end`."""
        row = self._rows[y]
        if start == 0 and end == self.columns:
            self._rows[y] = None
        elif row is not None and start < end:
            row = self._row(y)
            _part(row, start)
            _part(row, end)
            row[start:end] = [_BLANK] * (end - start)

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
            start, end = ((y + 1, self.lines), (0, y), (0, self.lines))[how]
            self._rows[start:end] = [None] * (end - start)
            self.erase_in_line(how)

    def erase_characters(self, count: int | None = None) -> None:
        x, y = self.cursor.x, self.cursor.y
        self.erase(y, x, min(x + (count or 1), self.columns))

    def insert_characters(self, count: int | None = None) -> None:
        x, y = self._settled()
        count = min(count or 1, self.columns - x)
        if self._rows[y] is not None:
            row = self._row(y)
            _part(row, x)
            _part(row, self.columns - count)
            row[x:] = [_BLANK] * count + row[x : self.columns - count]

    def delete_characters(self, count: int | None = None) -> None:
        x, y = self._settled()
        count = min(count or 1, self.columns - x)
        if self._rows[y] is not None:
            row = self._row(y)
            _part(row, x)
            _part(row, x + count)
            row[x:] = row[x + count :] + [_BLANK] * count

    def alignment_display(self) -> None:
        self._rows = [self._aligned] * self.lines

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
            del self._rows[top]
            self._rows.insert(bottom, None)
        elif y < self.lines - 1:
            self.cursor.y += 1

    def reverse_index(self) -> None:
        _, y = self._settled()
        top, bottom = self._region()
        if y == top:
            del self._rows[bottom]
            self._rows.insert(top, None)
        elif y > 0:
            self.cursor.y -= 1

    def _region(self) -> Margins:
        return self.margins or Margins(0, self.lines - 1)

    def _shift(self, top: int, bottom: int, count: int) -> None:
        count = max(-(bottom - top + 1), min(count, bottom - top + 1))
        rows = self._rows[top + max(count, 0) : bottom + 1 + min(count, 0)]
        blank: _Rows = [None] * abs(count)
        self._rows[top : bottom + 1] = rows + blank if count > 0 else blank + rows

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

    def tab(self) -> None:
        self.tabs(1)

    def tabs(self, count: int) -> None:
        """Move over so many tab stops, backwards if `count` is negative."""
        if count > 0:
            at = bisect_right(self._stops, self.cursor.x) + count - 1
            stop = self._stops[at] if at < len(self._stops) else self.columns
        else:
            at = bisect_left(self._stops, self.cursor.x) + count
            stop = self._stops[at] if at >= 0 else 0
        self.cursor.x = min(stop, self.columns - 1)

    def set_tab_stop(self) -> None:
        x, _ = self._settled()
        if x not in self._stops:
            insort(self._stops, x)

    def clear_tab_stop(self, how: int = 0) -> None:
        if how in (0, 3):
            self._stops = [each for each in self._stops if how == 0 and each != self.cursor.x]

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
            Cursor(self.cursor.x, self.cursor.y),
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
        self.cursor = Cursor(saved.cursor.x, saved.cursor.y)
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
                self._rows = [None] * self.lines
            self._rows, self._away = self._away, self._rows
            self.alternate = on
        if number == 1049 and on:
            self._rows = [None] * self.lines
        if not on and number in (1048, 1049):
            self.restore_cursor()

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        lines, columns = lines or self.lines, columns or self.columns
        other = self._saved.get(not self.alternate)
        self._rows = self._cut(self._rows, self.cursor, lines, columns)
        self._away = self._cut(self._away, other.cursor if other else None, lines, columns)
        new = range(max(8, -(-self.columns // 8) * 8), columns, 8)
        self._stops = sorted({*self._stops, *new})
        self._aligned = [_CELLS["E"]] * columns
        self.lines, self.columns, self.margins = lines, columns, None
        self._keep_cursor_inside()

    def _cut(self, rows: _Rows, cursor: Cursor | None, lines: int, columns: int) -> _Rows:
        """Return what fits of a screen; rows go from the top if the cursor would be lost otherwise."""
        lost = max(0, cursor.y - lines + 1) if cursor else 0
        if cursor:
            cursor.y -= lost
        kept: _Rows = [None] * lines
        for y, row in enumerate(rows[lost : lost + lines]):
            if row is not None:
                cut = kept[y] = row[:columns] + [_BLANK] * (columns - len(row))
                if columns < len(row) and not row[columns].data:
                    cut[-1] = _BLANK
        return kept

    def text(self, y: int) -> str:
        """Return a row as text."""
        row = self._rows[y]
        return "".join([cell.data for cell in row]).rstrip(" ") if row else ""


def _part(row: _Row, x: int) -> None:
    """See to it that no wide character reaches over the left edge of this column."""
    if x < len(row) and not row[x].data:
        row[x - 1] = row[x] = _BLANK
