"""What a terminal sends for a key, and for a paste: xterm's codes, as TERM=xterm-256color says."""

import difflib

from console_automation.core.text import one_line
from console_automation.errors import BadRequest

#: Keys that send the same in every mode.
PLAIN = {
    "enter": "\r",
    "tab": "\t",
    "space": " ",
    "escape": "\x1b",
    "backspace": "\x7f",
    "shift+tab": "\x1b[Z",
    "ctrl+space": "\x00",
}

#: Keys that end in a letter; CSI before it, or SS3 in application cursor mode.
CURSOR = {"up": "A", "down": "B", "right": "C", "left": "D", "home": "H", "end": "F"}

#: Keys that end in a letter behind SS3, whatever the mode.
FUNCTION = {"f1": "P", "f2": "Q", "f3": "R", "f4": "S"}

#: Keys that have a number behind CSI and end in a tilde.
NUMBERED = {
    "insert": 2,
    "delete": 3,
    "pageup": 5,
    "pagedown": 6,
    "f5": 15,
    "f6": 17,
    "f7": 18,
    "f8": 19,
    "f9": 20,
    "f10": 21,
    "f11": 23,
    "f12": 24,
}

#: What Ctrl makes of a character.
CONTROL = {
    "@": "\x00",
    "a": "\x01",
    "b": "\x02",
    "c": "\x03",
    "d": "\x04",
    "e": "\x05",
    "f": "\x06",
    "g": "\x07",
    "h": "\x08",
    "i": "\x09",
    "j": "\x0a",
    "k": "\x0b",
    "l": "\x0c",
    "m": "\x0d",
    "n": "\x0e",
    "o": "\x0f",
    "p": "\x10",
    "q": "\x11",
    "r": "\x12",
    "s": "\x13",
    "t": "\x14",
    "u": "\x15",
    "v": "\x16",
    "w": "\x17",
    "x": "\x18",
    "y": "\x19",
    "z": "\x1a",
    "[": "\x1b",
    "\\": "\x1c",
    "]": "\x1d",
    "^": "\x1e",
    "_": "\x1f",
    "?": "\x7f",
}

#: What each modifier adds to xterm's modifier parameter, which is 1 without any.
MODIFIERS = {"shift": 1, "alt": 2, "ctrl": 4}

ALIASES = {"esc": "escape", "backtab": "shift+tab"}

#: Every key that has a name, without those that a modifier makes of others.
NAMES = (
    *PLAIN,
    *ALIASES,
    *CURSOR,
    *FUNCTION,
    *NUMBERED,
    *(f"ctrl+{character}" for character in CONTROL),
)

# How others write keys. They are not accepted, so that a key has one spelling, but they are understood.
_OTHER_PREFIXES = {
    "control+": "ctrl+",
    "control-": "ctrl+",
    "ctrl-": "ctrl+",
    "c-": "ctrl+",
    "^": "ctrl+",
    "option+": "alt+",
    "meta+": "alt+",
    "alt-": "alt+",
    "m-": "alt+",
    "shift-": "shift+",
    "s-": "shift+",
}
_OTHER_NAMES = {
    "return": "enter",
    "cr": "enter",
    "newline": "enter",
    "del": "delete",
    "ins": "insert",
    "bs": "backspace",
    "pgup": "pageup",
    "page_up": "pageup",
    "pgdn": "pagedown",
    "page_down": "pagedown",
    "arrow_up": "up",
    "arrow_down": "down",
    "arrow_left": "left",
    "arrow_right": "right",
    "arrowup": "up",
    "arrowdown": "down",
    "arrowleft": "left",
    "arrowright": "right",
}

_PASTE_BEGINS = "\x1b[200~"
_PASTE_ENDS = "\x1b[201~"


def encode_key(key: str, *, application_cursor: bool) -> str:
    """Return what the terminal sends for a key: `enter`, `f5`, `ctrl+c`, `alt+x`, `ctrl+shift+left`.

    Names are in any case; of `alt+A` the letter keeps its own.
    """
    code = _encoded(key, application_cursor)
    if code is None:
        raise BadRequest(_unknown(key), field="key")
    return code


def paste(text: str, *, bracketed: bool) -> str:
    """Return what the terminal sends for a text that is pasted.

    Between brackets there is no ESC, so that the text cannot end the paste and go on as keys.
    """
    text = text.replace("\r\n", "\r").replace("\n", "\r")
    if not bracketed:
        return text
    return _PASTE_BEGINS + text.replace(_PASTE_ENDS, "").replace("\x1b", "") + _PASTE_ENDS


def _encoded(key: str, application_cursor: bool) -> str | None:
    modifiers, name = _parted(ALIASES.get(key.lower(), key))
    if not modifiers and name in CURSOR and application_cursor:
        return f"\x1bO{CURSOR[name]}"
    if name in CURSOR or name in FUNCTION or name in NUMBERED:
        return _special(name, 1 + sum(MODIFIERS[each] for each in modifiers))
    code = _simple(modifiers - {"alt"}, name)
    if "alt" not in modifiers or code is not None:
        return code if "alt" not in modifiers else f"\x1b{code}"
    alone = modifiers == {"alt"} and len(name) == 1 and name.isprintable()
    return f"\x1b{name}" if alone else None


def _parted(key: str) -> tuple[frozenset[str], str]:
    """Return the modifiers and the key itself; a character keeps its case, a name has none."""
    modifiers: set[str] = set()
    while True:
        first, plus, rest = key.partition("+")
        if not plus or not rest or first.lower() not in MODIFIERS or first.lower() in modifiers:
            break
        modifiers.add(first.lower())
        key = rest
    name = key if len(key) == 1 else key.lower()
    return frozenset(modifiers), ALIASES.get(name, name) if name == "esc" else name


def _special(name: str, parameter: int) -> str:
    if name in NUMBERED:
        return (
            f"\x1b[{NUMBERED[name]}~" if parameter == 1 else f"\x1b[{NUMBERED[name]};{parameter}~"
        )
    if parameter > 1:
        return f"\x1b[1;{parameter}{(CURSOR | FUNCTION)[name]}"
    return f"\x1b[{CURSOR[name]}" if name in CURSOR else f"\x1bO{FUNCTION[name]}"


def _simple(modifiers: frozenset[str], name: str) -> str | None:
    """Return the code of a key without a modifier parameter, Alt left aside."""
    if name == "backtab":
        modifiers, name = modifiers | {"shift"}, "tab"
    if modifiers == {"ctrl"} and name.lower() in CONTROL:
        return CONTROL[name.lower()]
    return PLAIN.get("+".join((*sorted(modifiers), name)))


def _unknown(key: str) -> str:
    shown = one_line(key, 40)
    if len(key) == 1 and key.isprintable():
        return f"{shown!r} is not a named key. Send text with console_send_input."
    close = _meant(key) or difflib.get_close_matches(key[:40].lower(), NAMES, n=3)
    hint = (
        f"Did you mean {' or '.join(close)}?" if close else "Keys are named enter, up, f5, ctrl+c."
    )
    return f"There is no key {shown!r}. {hint}"


def _meant(key: str) -> list[str]:
    """Return the key that is written so elsewhere, if it is one."""
    name = key.lower()
    for other, ours in _OTHER_PREFIXES.items():
        if name.startswith(other) and len(name) > len(other):
            name = ours + name.removeprefix(other)
            break
    head, plus, tail = name.rpartition("+")
    name = head + plus + _OTHER_NAMES.get(tail, tail)
    return [name] if _encoded(name, False) is not None else []
