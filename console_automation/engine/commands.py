"""From what a client wrote to what exec gets: a program is looked up before a job exists."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from console_automation.core.shells import SCRIPTS as SCRIPT_FILES
from console_automation.core.shells import ShellKind
from console_automation.errors import (
    BadRequest,
    CommandNotFound,
    PermissionDenied,
    WorkingDirectoryNotFound,
)

#: What only the run that it was given to may have.
_OF_A_RUN = frozenset(
    f"CONSOLE_AUTOMATION_{name}"
    for name in ("RUN", "REPORT", "ENV", "ZDOTDIR", "LOGIN", "RC", "SCHEDULE", "METADATA")
)
#: A command made of these alone is the name of a program; anything else is for a shell to read.
_PROGRAM = re.compile(r"[A-Za-z0-9_@%+:,./-]+")
#: The directory of the scripts that integrate shells.
SCRIPTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "shells")
_LONGEST_ARGUMENT = 131_071  # MAX_ARG_STRLEN - 1 on Linux: one string of argv
_LONGEST_ARGV = 1_500_000  # all of argv and the environment; the kernel takes about 2 MiB


def resolve(
    line: str,
    args: Sequence[str] | None,
    *,
    shell: bool | None,
    cwd: str,
    environment: Mapping[str, str],
) -> tuple[str, tuple[str, ...], bool]:
    """Return the executable's path, argv, and whether a shell is to read the line.

    Raises CommandNotFound, PermissionDenied, WorkingDirectoryNotFound, BadRequest.
    """
    check_directory(cwd)
    if args is not None and shell:
        raise BadRequest(
            "options.shell is true, but args are given: args are passed to one program literally."
            " Put the whole line into command, or leave shell out.",
            field="options.shell",
        )
    by_shell = shell if shell is not None else args is None and not _PROGRAM.fullmatch(line)
    if by_shell:
        program = environment.get("SHELL") or "/bin/sh"
        argv: tuple[str, ...] = (program, "-c", line)
    else:
        program = line
        argv = (line, *(args or ()))
    _check_size(argv, environment)
    return find_program(program, cwd=cwd, path=environment.get("PATH")), argv, by_shell


_TERM = "xterm-256color"  # what the screen understands
_OF_ANOTHER_TERMINAL = ("COLUMNS", "LINES", "TERMCAP", "WINDOWID")


def on_terminal(inherited: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program on a terminal of ours: what it inherits, and its own."""
    environment = {**inherited, "TERM": _TERM}
    for name in _OF_ANOTHER_TERMINAL:
        environment.pop(name, None)
    return {**environment, **own}


def project_of(cwd: str) -> str:
    """Return the project of a directory: the nearest git root above it, else the directory.

    Links are followed, as they are for whoever asks the system where they are. The directory may be
    gone. What is not UTF-8 in its name is written as an escape: this is a name, not a path to open.
    """
    directory = os.path.realpath(cwd)
    root = _git_root(directory) or directory
    return root.encode("utf-8", "backslashreplace").decode()


def _git_root(directory: str) -> str | None:
    # Strings: with pathlib it took 6 us more, of the 190 of a submission.
    while not os.path.exists(f"{directory}/.git"):
        above = os.path.dirname(directory)
        if above == directory:
            return None
        directory = above
    return directory


def named_project(directory: str | None, *, field: str) -> str | None:
    """Return the project that a client names by a directory, which may be gone. Raises BadRequest."""
    if directory is None:
        return None
    if not os.path.isabs(directory):
        raise BadRequest(
            f"project {directory!r} is not absolute; give the whole path.", field=field
        )
    return project_of(directory)


def check_absolute(cwd: str, *, field: str = "options.workingDirectory") -> None:
    """Raise BadRequest unless a directory, of whichever machine, is the same wherever one stands."""
    if not os.path.isabs(cwd):
        name = field.rpartition(".")[2]
        raise BadRequest(f"{name} {cwd!r} is not absolute; give the whole path.", field=field)


def check_directory(cwd: str, *, field: str = "options.workingDirectory") -> None:
    """Raise unless a process of this user can have `cwd` as its working directory."""
    check_absolute(cwd, field=field)
    name = field.rpartition(".")[2]
    if not os.path.isdir(cwd):
        raise WorkingDirectoryNotFound(
            f"{name} {cwd!r} is not a directory. Create it first, or leave it out.",
            workingDirectory=cwd,
        )
    if not os.access(cwd, os.X_OK):
        raise PermissionDenied(
            f"{name} {cwd!r} may not be entered by this user.", workingDirectory=cwd
        )


def find_program(program: str, *, cwd: str, path: str | None) -> str:
    """Return the path of the file that exec would run."""
    if "/" in program:
        candidates = [os.path.join(cwd, program)]
    else:
        folders = (os.defpath if path is None else path).split(os.pathsep)
        candidates = [
            f"{folder if folder.startswith('/') else os.path.join(cwd, folder)}/{program}"
            for folder in folders
        ]
    for candidate in candidates:
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    denied = next(filter(os.path.exists, candidates), None)
    if denied:
        raise PermissionDenied(
            f"Permission denied: {denied} is not an executable file.", command=program
        )
    split = "; no shell splits it: put its arguments into args" if " " in program else ""
    raise CommandNotFound(
        f"Command not found: {program}{split}. Check the spelling and the PATH, give a full path, or"
        " set options.shell for what only a shell knows.",
        command=program,
    )


def inherited(environment: Mapping[str, str], allowed: str) -> dict[str, str]:
    """Return the variables that jobs take over from their client.

    What a client that is itself in a job or a session has from its own run stays behind.
    """
    names = allowed.split()
    exact = {name for name in names if not name.endswith("*")}
    prefixes = tuple(name[:-1] for name in names if name.endswith("*"))
    return {
        name: value
        for name, value in environment.items()
        if (name in exact or (prefixes and name.startswith(prefixes))) and name not in _OF_A_RUN
    }


def _check_size(argv: Sequence[str], environment: Mapping[str, str]) -> None:
    characters = sum(map(len, (*argv, *environment, *environment.values())))
    if characters * 4 < _LONGEST_ARGUMENT // 2:
        return  # far from any limit, in whatever encoding
    words = [len(os.fsencode(argument)) + 1 for argument in argv]
    pairs = [len(os.fsencode(f"{name}={value}")) + 1 for name, value in environment.items()]
    if max(words + pairs) > _LONGEST_ARGUMENT or sum(words + pairs) > _LONGEST_ARGV:
        raise BadRequest(
            f"The command is too long for the system ({sum(words)} bytes, and {sum(pairs)} of its"
            f" environment; {_LONGEST_ARGV} may be in all, {_LONGEST_ARGUMENT} in one word or variable)."
            " Write it to a file and run that, or pass it as options.stdin; leave out variables.",
            field="command",
        )


def remote_scripts() -> dict[ShellKind, str]:
    """Return the text of the scripts, for a machine that does not have them."""
    return {
        kind: Path(SCRIPTS, name).read_text(encoding="utf-8") for kind, name in SCRIPT_FILES.items()
    }
