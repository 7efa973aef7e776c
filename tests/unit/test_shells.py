"""Shells: known by name, started with their integration, and typed into without a loss."""

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console_automation.core.shell_start import integrated, remote_bootstrap
from console_automation.core.shells import (
    ShellKind,
    is_integrated,
    kind_of,
    parse_report,
    quoted,
    typed,
)

ID = "0123456789abcdef"
BASH, ZSH, SH, FISH = ShellKind.BASH, ShellKind.ZSH, ShellKind.SH, ShellKind.FISH
PROGRAMS = {BASH: "bash", ZSH: "zsh", SH: "sh", FISH: "fish"}
HERE = [kind for kind, program in PROGRAMS.items() if shutil.which(program)]
# No surrogates, which are no characters; no NUL, which no shell can hold; none of the private and
# unassigned ones, which fish takes for itself.
texts = st.text(st.characters(exclude_categories=["Cs", "Co", "Cn"], exclude_characters="\0"))


@pytest.mark.parametrize(
    ("program", "kind"),
    [
        ("bash", BASH),
        ("/usr/local/bin/bash5", BASH),
        ("-bash", BASH),
        ("bash-5.2", BASH),
        ("C:\\tools\\bash.exe", BASH),
        ("/bin/zsh", ZSH),
        ("dash", SH),
        ("/bin/busybox sh", SH),
        ("ksh93", SH),
        ("fish", FISH),
        ("PowerShell.exe", ShellKind.PWSH),
        ("pwsh", ShellKind.PWSH),
        ("cmd.exe", ShellKind.CMD),
        ("python3", None),
        ("bashful", None),
        ("csh", None),
        ("", None),
    ],
)
def test_a_shell_is_known_by_its_name(program: str, kind: ShellKind | None) -> None:
    assert kind_of(program) is kind


@pytest.mark.parametrize("kind", [k for k in ShellKind if is_integrated(k)])
@given(command=st.text())
def test_what_is_typed_is_one_line_of_printable_ascii(kind: ShellKind, command: str) -> None:
    for bracketed in (False, True):
        text = typed(kind, command, ID, bracketed=bracketed)
        assert text.startswith(" ") and text[-1] in "\r\n" and text.count(ID) == 1
        body = text[:-1].replace("\x1b[200~", "").replace("\x1b[201~", "").replace("'\\\n'", "")
        assert body.isascii() and body.isprintable()
        assert "!" not in body or kind in (SH, FISH)  # the others look into their history for it
        assert max(map(len, text.split("\n"))) <= 1000 or kind is not SH


def test_long_lines_are_broken_for_a_terminal_that_edits_them_itself() -> None:
    assert max(map(len, typed(SH, "x" * 70_000, ID).split("\n"))) <= 1000


# What the shell makes of the typed text: the functions of the integration are played by others.
PLAYED = {
    BASH: "__console_begin() { :; }; __console_end() { :; }\n",
    ZSH: "__console_begin() { :; }; __console_end() { :; }\n",
    SH: "__console_begin() { __console_text=$3; }; __console_end() { :; }\n",
    FISH: "function __console_begin; set -g __console_text $argv[3]; end; "
    "function __console_end; end\n",
}


@pytest.mark.parametrize("kind", HERE)
@settings(max_examples=40, deadline=None)
@given(word=texts)
def test_a_typed_word_reaches_the_program_as_it_is(kind: ShellKind, word: str) -> None:
    line = typed(kind, f"printf %s {quoted(kind, word)}", ID).rstrip("\r\n")
    script = (PLAYED[kind] + line).encode()
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}
    flags = {ZSH: ["-f"], FISH: ["--no-config"]}.get(kind, [])
    done = subprocess.run(
        [PROGRAMS[kind], *flags, "-c", script], capture_output=True, env=environment, check=True
    )
    assert done.stdout == word.encode()


def test_shells_without_integration_get_the_command_itself() -> None:
    assert typed(ShellKind.PWSH, "dir", ID) == "dir\r"
    assert quoted(ShellKind.PWSH, "it's") == "'it''s'"
    assert integrated(ShellKind.CMD, ("cmd",), {"A": "b"}, "/s") == (("cmd",), {"A": "b"})


@pytest.mark.parametrize(
    ("kind", "argv", "environment", "start", "own"),
    [
        (BASH, ("bash",), {}, ("bash", "--rcfile", "/s/bash.sh"), {}),
        (BASH, ("bash", "-l"), {}, ("bash", "--rcfile", "/s/bash.sh"), {"LOGIN": "1"}),
        (BASH, ("-bash",), {}, ("bash", "--rcfile", "/s/bash.sh"), {"LOGIN": "1"}),
        (BASH, ("bash", "--norc"), {}, ("bash", "--rcfile", "/s/bash.sh"), {"RC": ""}),
        (BASH, ("bash", "--rcfile", "x"), {}, ("bash", "--rcfile", "/s/bash.sh"), {"RC": "x"}),
        (BASH, ("bash", "-x"), {}, ("bash", "--rcfile", "/s/bash.sh", "-x"), {}),
        (BASH, ("bash", "-v"), {}, ("bash", "--rcfile", "/s/bash.sh", "-v"), {}),
        (BASH, ("bash", "-h"), {}, ("bash", "--rcfile", "/s/bash.sh", "-h"), {}),
        (ZSH, ("zsh", "-h"), {}, ("zsh", "-h"), {"=ZDOTDIR": "/s/zsh"}),
        (ZSH, ("zsh", "--emulate", "zsh"), {}, ("zsh", "--emulate", "zsh"), {"=ZDOTDIR": "/s/zsh"}),
        (BASH, ("bash", "--posix"), {}, ("bash", "--posix"), {"=ENV": "/s/sh.sh"}),
        (ZSH, ("zsh",), {"ZDOTDIR": "/z"}, ("zsh",), {"=ZDOTDIR": "/s/zsh", "ZDOTDIR": "/z"}),
        (ZSH, ("zsh", "-f"), {}, ("zsh",), {"=ZDOTDIR": "/s/zsh", "RC": ""}),
        (SH, ("dash",), {"ENV": "e"}, ("dash",), {"=ENV": "/s/sh.sh", "ENV": "e"}),
        (SH, ("busybox", "sh"), {}, ("busybox", "sh"), {"=ENV": "/s/sh.sh"}),
        (BASH, ("bash", "+n"), {}, ("bash", "--rcfile", "/s/bash.sh", "+n"), {}),
        (
            BASH,
            ("bash", "+o", "noexec"),
            {},
            ("bash", "--rcfile", "/s/bash.sh", "+o", "noexec"),
            {},
        ),
        (FISH, ("fish", "-P"), {}, ("fish", "--init-command", "source /s/fish.fish", "-P"), {}),
    ],
)
def test_a_shell_is_started_with_its_integration(
    kind: ShellKind,
    argv: tuple[str, ...],
    environment: dict[str, str],
    start: tuple[str, ...],
    own: dict[str, str],
) -> None:
    added = {
        name[1:] if name.startswith("=") else f"CONSOLE_AUTOMATION_{name}": value
        for name, value in own.items()
    }
    assert integrated(kind, argv, environment, "/s") == (start, {**environment, **added})


@pytest.mark.parametrize(
    ("kind", "argv"),
    [
        (BASH, ("bash", "-c", "true")),
        (BASH, ("bash", "-lc", "true")),
        (BASH, ("bash", "script.sh")),
        (BASH, ("bash", "-x", "--", "script.sh")),
        (ZSH, ("zsh", "-o", "extendedglob", "script")),
        (SH, ("sh", "-ec", "true")),
        (FISH, ("fish", "--command=true")),
        (FISH, ("fish", "--version")),
        (FISH, ("fish", "-v")),
        (BASH, ("bash", "-D")),
        (BASH, ("bash", "-t")),
        (BASH, ("bash", "-n")),
        (BASH, ("bash", "-xn")),
        (BASH, ("bash", "-o", "noexec")),
        (BASH, ("bash", "-no", "vi")),
        (BASH, ("bash", "-r")),
        (BASH, ("bash", "-lr")),
        (BASH, ("bash", "--restricted")),
        (ZSH, ("zsh", "-r")),
        (ZSH, ("zsh", "-n")),
        (ZSH, ("zsh", "-p")),
        (ZSH, ("zsh", "+i")),
        (ZSH, ("zsh", "-o", "NO_EXEC")),
        (ZSH, ("zsh", "--restricted")),
        (ZSH, ("zsh", "--emulate", "sh")),
        (ZSH, ("zsh", "--emulate", "ksh", "-x")),
        (SH, ("dash", "-n")),
    ],
)
def test_what_opens_no_session_or_lets_no_integration_work_is_left_as_it_is(
    kind: ShellKind, argv: tuple[str, ...]
) -> None:
    assert integrated(kind, argv, {}, "/s") == (argv, {})


@given(st.dictionaries(st.from_regex(r"[A-Z]{1,9}", fullmatch=True), texts), texts.filter(bool))
def test_a_report_is_read_back(environment: dict[str, str], cwd: str) -> None:
    entries = "".join(f"{name}={value}\0" for name, value in environment.items())
    assert parse_report(f"{cwd}\0{entries}".encode()) == (cwd, environment)


def test_what_is_ours_is_not_reported_and_half_a_report_is_none() -> None:
    report = b"/\0A=b\0__console_id=1\0CONSOLE_AUTOMATION_ENV=x\0CONSOLE_AUTOMATION_HOME=h\0_=env\0"
    assert parse_report(report) == ("/", {"A": "b", "CONSOLE_AUTOMATION_HOME": "h"})
    for size in (0, 1, 4, len(report) - 1):
        assert parse_report(report[:size]) is None


def test_what_starts_a_far_shell_has_nothing_in_it_that_a_login_shell_acts_on() -> None:
    scripts = dict.fromkeys(PROGRAMS, "printf 'x!\\n' \"$y\" `z` % ü\n")
    for kind in (*PROGRAMS, None):
        inside = remote_bootstrap(kind, scripts).removeprefix("exec sh -c '").removesuffix("'")
        assert inside.isascii() and inside.isprintable()
        assert "'" not in inside and "!" not in inside and "\\\\" not in inside
