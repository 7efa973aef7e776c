"""How a shell is started with its integration, here and at the other end of ssh."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from console_automation.core.shells import SCRIPTS, ShellKind, is_integrated, quoted

# Options that take the next argument as their value, and those after which there is no session.
_WITH_VALUE: Mapping[ShellKind, str] = {
    ShellKind.BASH: r"--rcfile|--init-file|[-+][a-zA-Z]*[oO]",
    ShellKind.ZSH: r"--emulate|[-+][a-zA-Z]*o",
    ShellKind.SH: r"[-+][a-zA-Z]*o",
    ShellKind.FISH: r"-[CdofpD]|--(?:init-command|debug|debug-output|features|profile|"
    r"profile-startup|debug-stack-frames)",
}
_NO_SESSION = re.compile(
    r"-[a-zA-Z]*c.*|--(?:command|version|help|dump-strings|dump-po-strings|no-execute|print-.*)"
    r"(?:=.*)?"
)
# Further ones, as letters: those that execute nothing, or one line alone; that forbid to redirect
# anything, as the integration must; that keep zsh from the files through which it finds it.
_UNFIT: Mapping[ShellKind, str] = {
    ShellKind.BASH: "Dnrt",
    ShellKind.ZSH: "nprt",
    ShellKind.SH: "nrt",
}
_UNFIT_NAMES = frozenset({"noexec", "onecmd", "singlecommand", "restricted"})
_UNFIT_ZSH = frozenset({"privileged", "nointeractive"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    """An option with its value, if it takes one; the operands are one too, without a name."""

    name: str
    words: tuple[str, ...]


def _options(kind: ShellKind, arguments: tuple[str, ...]) -> Iterator[_Option]:
    at = 0
    while at < len(arguments):
        word = arguments[at]
        if word in ("--", "-") or not word.startswith(("-", "+")):
            yield _Option(name="", words=arguments[at:])
            return
        size = 2 if re.fullmatch(_WITH_VALUE[kind], word) else 1
        yield _Option(name=word, words=arguments[at : at + size])
        at += size


def integrated(
    kind: ShellKind, argv: tuple[str, ...], environment: Mapping[str, str], scripts: str
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return argv and environment that start the shell interactively with its integration.

    `scripts` is the directory that holds them. The user's own arguments are kept. Arguments after which
    there is no session (`-c`, a script, `--version`) or no integration can work (`-n`, a restricted
    shell) are returned unchanged, as are those of a shell without integration. `--norc` and its like are
    honoured: the integration is then all that is read.
    """
    if not is_integrated(kind):
        return argv, dict(environment)
    size = 2 if kind is ShellKind.SH and argv[0].endswith("busybox") else 1
    options = list(_options(kind, argv[size:]))
    if _is_no_session(options) or any(_is_unfit(kind, option) for option in options):
        return argv, dict(environment)
    dashed = argv[0].startswith("-")
    head = (argv[0].removeprefix("-"), *argv[1:size])
    script = f"{scripts}/{SCRIPTS[kind]}"
    if kind is ShellKind.BASH and _is_posix(options, environment):
        kind, script = ShellKind.SH, f"{scripts}/{SCRIPTS[ShellKind.SH]}"
    own: dict[str, str] = {}
    match kind:
        case ShellKind.FISH:
            words = [
                "--init-command",
                f"source {quoted(kind, script)}",
                *(["-l"] if dashed else []),
            ]
            words += argv[1:]
        case ShellKind.ZSH:
            words, own = _zsh(options, environment, script.rpartition("/")[0])
            words = [*(["-l"] if dashed else []), *words]
        case ShellKind.BASH:
            words, own = _bash(options, dashed)
            words = ["--rcfile", script, *words]
        case _:
            words, own = _posix(options, environment, dashed)
            own["ENV"] = script
    return (*head, *words), {**environment, **own}


def _bash(options: list[_Option], dashed: bool) -> tuple[list[str], dict[str, str]]:
    """The integration stands in for the user's file, and for those of a login shell."""
    own = {}
    words, login = _without_login(options, dashed)
    kept: list[str] = []
    for option in words:
        if option.name in ("--rcfile", "--init-file"):
            own["CONSOLE_AUTOMATION_RC"] = option.words[-1]
        elif option.name == ("--noprofile" if login else "--norc"):
            own["CONSOLE_AUTOMATION_RC"] = ""
            login = False
        elif option.name != "--norc":
            kept += option.words
    if login:
        own["CONSOLE_AUTOMATION_LOGIN"] = "1"
    return kept, own


def _posix(
    options: list[_Option], environment: Mapping[str, str], dashed: bool
) -> tuple[list[str], dict[str, str]]:
    """A profile may set ENV, so the integration reads it, and not the shell before the integration."""
    own = {}
    kept, login = _without_login(options, dashed)
    if "ENV" in environment:
        own["CONSOLE_AUTOMATION_ENV"] = environment["ENV"]
    if login:
        own["CONSOLE_AUTOMATION_LOGIN"] = "1"
    return [word for option in kept for word in option.words], own


def _zsh(
    options: list[_Option], environment: Mapping[str, str], place: str
) -> tuple[list[str], dict[str, str]]:
    own = {"ZDOTDIR": place}
    if "ZDOTDIR" in environment:
        own["CONSOLE_AUTOMATION_ZDOTDIR"] = environment["ZDOTDIR"]
    words: list[str] = []
    for option in options:
        if option.name in ("--no-rcs", "--norcs") or _has(option, "f"):
            own["CONSOLE_AUTOMATION_RC"] = ""
            words += _without(option, "f")
        else:
            words += option.words
    return words, own


def _is_no_session(options: list[_Option]) -> bool:
    if any(_NO_SESSION.fullmatch(option.name) for option in options):
        return True
    operands = any(
        not o.name and (len(o.words) > 1 or o.words[0] not in ("-", "--")) for o in options
    )
    return operands and not any(_has(option, "s") for option in options)


def _is_unfit(kind: ShellKind, option: _Option) -> bool:
    """Return whether a shell with that option cannot be made to emit marks."""
    is_zsh = kind is ShellKind.ZSH
    if is_zsh and option.name == "--emulate":
        return option.words[-1] != "zsh"  # as another shell it does not read what ZDOTDIR holds
    if kind is ShellKind.FISH:
        return option.name in ("-n", "-v", "-h")
    letters, has_name, glued = option.name.partition("o")
    name = glued or option.words[-1] if has_name else ""
    if option.name.startswith("--"):
        letters, name = "", option.name
    elif not letters.startswith("-"):
        return is_zsh and option.name == "+i"
    name = re.sub("[-_]", "", name.lower())
    named = name in _UNFIT_NAMES or (is_zsh and name in _UNFIT_ZSH)
    return named or any(letter in _UNFIT[kind] for letter in letters[1:])


def _is_posix(options: list[_Option], environment: Mapping[str, str]) -> bool:
    asked = any(o.name == "--posix" or o.words == ("-o", "posix") for o in options)
    return asked or "POSIXLY_CORRECT" in environment


def _has(option: _Option, letter: str) -> bool:
    return (
        not option.name.startswith("--") and option.name.startswith("-") and letter in option.name
    )


def _without(option: _Option, letter: str) -> tuple[str, ...]:
    if option.name.startswith("--"):
        return ()
    name = option.name.replace(letter, "")
    return (name, *option.words[1:]) if name != "-" else ()


def _without_login(options: list[_Option], dashed: bool) -> tuple[list[_Option], bool]:
    """Return the options but those for a login shell, and whether there was one."""
    kept = []
    login = dashed
    for option in options:
        if option.name == "--login" or _has(option, "l"):
            login = True
            words = _without(option, "l")
            if words:
                kept.append(_Option(name=words[0], words=words))
        else:
            kept.append(option)
    return kept, login


_BOOTSTRAP = """\
set -e
umask 077
console_place=$(mktemp -d "${TMPDIR:-/tmp}/console.XXXXXX")
console_shell=@shell@
if [ -n "${ZDOTDIR+x}" ]; then export CONSOLE_AUTOMATION_ZDOTDIR="$ZDOTDIR"; fi
if [ -n "${ENV+x}" ]; then export CONSOLE_AUTOMATION_ENV="$ENV"; fi
console_write() { printf '%s' "command rm -rf -- '$console_place'
$2" > "$console_place/$1"; }
case ${console_shell##*/} in
@cases@esac
"""

# How each kind is started at the other end: as the login shell that ssh without a command gives.
_STARTS: Mapping[ShellKind, tuple[str, str, str]] = {
    ShellKind.BASH: (
        "bash*",
        "bash.sh",
        'CONSOLE_AUTOMATION_LOGIN=1 exec "$console_shell" --rcfile "$console_place/bash.sh"',
    ),
    ShellKind.ZSH: ("zsh*", ".zshenv", 'ZDOTDIR=$console_place exec "$console_shell" -l'),
    ShellKind.FISH: (
        "fish*",
        "fish.fish",
        'exec "$console_shell" -l --init-command "source $console_place/fish.fish"',
    ),
    ShellKind.SH: (
        "*",
        "sh.sh",
        "case ${console_shell##*/} in *sh) ;; *) console_shell=sh ;; esac\n"
        "case ${console_shell##*/} in csh | tcsh) console_shell=sh ;; esac\n"
        'CONSOLE_AUTOMATION_LOGIN=1 ENV=$console_place/sh.sh exec "$console_shell"',
    ),
}


def remote_bootstrap(kind: ShellKind | None, scripts: Mapping[ShellKind, str]) -> str:
    """Return what the remote user's login shell is given, by ssh with a terminal, to become that shell.

    None leaves the choice to the other end: the user's own shell, or sh where that is none we know.
    `scripts` are the texts of the integrations. Each is written into a directory that the shell removes
    when it reads it. Any login shell takes the string: it is one word in quotes, without anything in it
    that some shell acts on inside of these.
    """
    kinds = [kind] if kind else list(_STARTS)
    cases = ""
    for each in kinds:
        pattern, name, start = _STARTS[each]
        text = quoted(ShellKind.SH, scripts[each])
        cases += f"{'*' if kind else pattern})\nconsole_write {name} {text}\n{start}\n;;\n"
    shell = kind.value if kind else '"${SHELL:-sh}"'
    text = _BOOTSTRAP.replace("@shell@", shell).replace("@cases@", cases)
    encoded = "".join(_INERT[byte] for byte in text.encode("utf-8"))
    return f'exec sh -c \'eval "$(printf "{encoded}")"\''


_INERT = [
    "%%"
    if byte == 0x25
    else chr(byte)
    if 0x20 <= byte < 0x7F and byte not in b"'\"\\$`!"
    else f"\\{byte:03o}"
    for byte in range(256)
]
