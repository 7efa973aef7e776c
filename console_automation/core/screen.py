"""The screen of a terminal, as a person would see it at one moment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenSnapshot:
    """Text, cursor and title of a screen. The text is safe to show."""

    lines: tuple[str, ...]  #: all rows, from the top, each without the blanks at its end
    cursor_column: int  #: from 0; a wide character takes two columns
    cursor_row: int  #: from 0
    cursor_visible: bool
    cols: int
    rows: int
    title: str
    alternate: bool  #: the screen that full-screen programs draw on, and leave as it was before
