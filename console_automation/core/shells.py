"""Shells that tell when a command begins and ends: how they are started, and what is typed into them.

The scripts in `shells/` make a shell emit marks (`core.marks`). A command is typed as one line between
two functions of these scripts, encoded so that neither the terminal nor the line editor acts on it; the
shell runs it with `eval`, at the top level, as if it had been typed as it is.
"""

import re
from collections.abc import Mapping
from enum import StrEnum


class ShellKind(StrEnum):
    """A family of shells that are started and spoken to in the same way."""

    BASH = "bash"  #: bash under its own name
    ZSH = "zsh"  #: zsh under its own name
    SH = "sh"  #: whatever keeps to POSIX: dash, busybox, ksh, bash as sh
    FISH = "fish"  #: fish
    PWSH = "pwsh"  #: PowerShell; has no integration
    CMD = "cmd"  #: the command prompt of Windows; has no integration


_NAMES: Mapping[str, ShellKind] = {
    **{kind.value: kind for kind in ShellKind},
    **dict.fromkeys(("dash", "ash", "ksh", "mksh", "lksh", "oksh", "busybox"), ShellKind.SH),
    "powershell": ShellKind.PWSH,
}
_VERSION = re.compile(r"[-0-9.]*$")

#: Where a kind's script lies below the directory of the scripts.
SCRIPTS: Mapping[ShellKind, str] = {
    ShellKind.BASH: "bash.sh",
    ShellKind.ZSH: "zsh/.zshenv",
    ShellKind.SH: "sh.sh",
    ShellKind.FISH: "fish.fish",
}


def is_integrated(kind: ShellKind) -> bool:
    """Return whether shells of this kind can be made to emit marks."""
    return kind in SCRIPTS


def kind_of(program: str) -> ShellKind | None:
    """Return the kind a program belongs to by its name, None when it is no shell that is known."""
    words = re.split(r"[/\\]", program)[-1].removeprefix("-").lower().split()
    if not words:
        return None
    return _NAMES.get(_VERSION.sub("", words[0].removesuffix(".exe")))


_PLAIN = re.compile(r"[A-Za-z0-9_./@%+,-]+")
_PRINTABLE = re.compile(r"[ -~]*")


def quoted(kind: ShellKind, word: str) -> str:
    """Return one word as that shell reads it back. A NUL, which no shell can hold, is left out."""
    word = word.replace("\0", "")
    if _PLAIN.fullmatch(word):
        return word
    if kind is ShellKind.FISH:
        return _fish_words(word)
    if kind is ShellKind.PWSH:
        return "'" + word.replace("'", "''") + "'"
    if kind is ShellKind.CMD:
        return '"' + word.replace('"', '""') + '"'
    if kind is ShellKind.SH or _PRINTABLE.fullmatch(word):
        return "'" + word.replace("'", "'\\''") + "'"
    return _dollar_quoted(word)


PASTE_BEGIN = "\x1b[200~"
PASTE_END = "\x1b[201~"
INTERRUPT = "\x03"  #: ctrl+c


def interrupts(kind: ShellKind | None) -> tuple[str, ...]:
    """Return what is typed by turns until a shell has heard an interrupt of what it was about to read.

    The terminal throws away what was typed, the end of a paste with it, for which fish would wait; and
    of ctrl+c at an empty line fish says nothing.
    """
    return (f"{PASTE_END} ", INTERRUPT) if kind is ShellKind.FISH else (INTERRUPT,)


def typed(kind: ShellKind, command: str, command_id: str, *, bracketed: bool = False) -> str:
    """Return what is to be typed for the command, the key that submits it included.

    It is printable ASCII whatever the command holds, one complete command, and begins with a space so
    that histories which ignore such lines stay clean. `bracketed` says that the shell has bracketed
    paste on, which is faster and passes by key bindings. A shell without integration gets the command
    as it is.
    """
    command = command.replace("\0", "")
    if not is_integrated(kind):
        return command + "\r"
    if kind is ShellKind.SH:
        return _typed_posix(command, command_id) + "\n"
    text = (
        _typed_fish(command, command_id) if kind is ShellKind.FISH else _typed(command, command_id)
    )
    return f" {PASTE_BEGIN}{text}{PASTE_END}\r" if bracketed else f" {text}\r"


def _typed(command: str, command_id: str) -> str:
    """`{` is not the first word: bash does not know it as one after a syntax error inside of `eval`."""
    return (
        f"__console_begin {command_id} 2>/dev/null && {{ \\:; }} 2>/dev/null; "
        f"\\builtin eval {_dollar_quoted(' ' + command)}; {{ __console_end; }} 2>/dev/null"
    )


def _typed_fish(command: str, command_id: str) -> str:
    """fish runs a function for each quote and backslash that is pasted, so there are hardly any."""
    encoded = "".join(_PERCENT[byte] for byte in (" " + command).encode("utf-8", "replace"))
    return (
        f'__console_begin {command_id} $status (builtin string unescape --style=url -- "{encoded}" '
        "| builtin string collect); builtin eval $__console_text; __console_end"
    )


_PERCENT = [chr(b) if 0x20 <= b < 0x7F and b not in b"%\"$\\'" else f"%{b:02X}" for b in range(256)]


# In bash and zsh a word in $'...'. What marks an address or an expansion of the history is escaped
# too, for line editors that act on those when they are pasted.
_KEPT = frozenset(range(0x20, 0x7F)) - frozenset(b"'\\!:?&=")
_SHORT = {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r", 0x27: "\\'", 0x5C: "\\\\"}


def _dollar_quoted(text: str) -> str:
    return "$'" + "".join(map(_DOLLAR.__getitem__, text.encode("utf-8", "surrogatepass"))) + "'"


_DOLLAR = [chr(b) if b in _KEPT else _SHORT.get(b, f"\\{b:03o}") for b in range(256)]


# In fish a word is put together from 'plain' pieces and escapes, which are none inside of quotes.
_FISH_PIECE = re.compile(r"[ -&(-\[\]-~]+|.", re.DOTALL)


def _fish_words(text: str) -> str:
    return "".join(_fish_piece(piece) for piece in _FISH_PIECE.findall(text)) or "''"


def _fish_piece(piece: str) -> str:
    if piece in ("'", "\\"):
        return "\\" + piece
    if " " <= piece[0] <= "~":
        return f"'{piece}'"
    code = ord(piece)
    if 0xD800 <= code < 0xE000:
        code = 0xFFFD  # half of a pair means nothing alone
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


# POSIX has no quotes that hold escapes, but its printf does; the substitution costs a fork.
_FORMAT = [
    "%%" if b == 0x25 else chr(b) if 0x20 <= b < 0x7F and b not in b"'\\" else f"\\{b:03o}"
    for b in range(256)
]
LONGEST_LINE = 1000  #: bytes typed at once; a terminal that edits lines itself takes 4095


def _typed_posix(command: str, command_id: str) -> str:
    """The status is handed over before the substitution changes it, and `command` keeps a syntax error
    inside of `eval` from ending the whole line."""
    pieces = [_FORMAT[b] for b in (" " + command).encode("utf-8", "surrogatepass")]
    return (
        f' {{ __console_begin {command_id} "$?" "$(\\command printf \'{_broken(pieces)}\')" && \\:; }}'
        ' 2>/dev/null; \\command eval "$__console_text"; { __console_end; } 2>/dev/null'
    )


def _broken(pieces: list[str]) -> str:
    lines = [""]
    for piece in pieces:
        if len(lines[-1]) + len(piece) > LONGEST_LINE - 200:
            lines.append("")
        lines[-1] += piece
    return "'\\\n'".join(lines)


def parse_report(data: bytes) -> tuple[str, dict[str, str]] | None:
    """Return the working directory and the environment that a shell has reported.

    None unless the report is whole. What the integration itself uses is not the user's and left out.
    """
    cwd, *rest = data.split(b"\0")
    if not cwd or not rest or rest.pop():
        return None
    environment = {}
    for entry in rest:
        name, equals, value = _text(entry).partition("=")
        if equals and not _OWN.match(name):
            environment[name] = value
    return _text(cwd), environment


_OWN = re.compile(r"__console_|CONSOLE_AUTOMATION_(?:REPORT|ENV|ZDOTDIR|LOGIN|RC)$|_$")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
