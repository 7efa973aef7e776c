"""Real shells on real terminals: a command's end is known by its mark, and its exit code is true."""

import termios
from collections.abc import Iterator

import pytest

from console_automation.core.marks import MarkKind
from console_automation.core.shell_start import remote_bootstrap
from console_automation.core.shells import SCRIPTS as NAMES
from console_automation.core.shells import ShellKind, parse_report, typed
from tests.integration.live_shell import HERE, PROGRAMS, SCRIPTS, LiveShell

POSIX = tuple(kind for kind in HERE if kind != "fish")
every = pytest.mark.parametrize("kind", HERE)
posix = pytest.mark.parametrize("kind", POSIX)


@pytest.fixture
def shell(kind: str) -> Iterator[LiveShell]:
    with LiveShell(kind) as live:
        yield live


def last(kind: str) -> str:
    return "echo $status" if kind == "fish" else "echo $?"


@every
def test_exit_codes_are_true(shell: LiveShell) -> None:
    assert [shell.code(f"sh -c 'exit {n}'") for n in (0, 1, 42, 130)] == [0, 1, 42, 130]
    assert shell.code("/etc/passwd") == 126
    assert shell.code("there-is-no-such-program") == 127
    assert shell.code("sh -c 'kill -9 $$'") == 137


@every
def test_the_status_of_the_command_before_is_seen(shell: LiveShell, kind: str) -> None:
    shell.run("sh -c 'exit 7'")
    assert shell.output(last(kind)) == "7\n"
    assert shell.output(last(kind)) == "0\n"


@every
def test_directory_and_variables_are_kept(shell: LiveShell, kind: str) -> None:
    shell.run("cd /usr")
    shell.run("set spoken word" if kind == "fish" else "spoken=word")
    assert shell.run("pwd; echo $spoken") == (0, "/usr\nword\n")


@pytest.mark.parametrize("kind", [k for k in HERE if k in ("bash", "zsh")])
def test_what_is_declared_is_declared_at_the_top(shell: LiveShell) -> None:
    shell.run("declare -A map=([a]=b)")
    assert shell.output("echo ${map[a]}") == "b\n"


@every
def test_text_of_any_kind_arrives_as_it_is(shell: LiveShell) -> None:
    text = 'tab\there ! !! %s 100% ü 日本 😀 "double" `tick` \\ ^ ~ * \x01\x7f'
    shell.run("stty -onlcr")
    assert shell.run(f"printf '%s' '{text.replace(chr(92), chr(92) * 2)}'")[0] == 0
    assert shell.output("printf '%s\\n' 'one\n\ttwo !' three") == "one\n\ttwo !\nthree\n"
    assert "ü 日本 😀" in shell.output("echo 'ü 日本 😀'")


@posix
def test_a_here_document_is_read_whole(shell: LiveShell) -> None:
    assert shell.run("x=5\ncat <<END\na\t$x\n  !b\nEND\nfalse") == (1, "a\t5\n  !b\n")


@every
def test_what_is_not_finished_ends_at_once(shell: LiveShell) -> None:
    assert shell.code("echo 'never ended") not in (0, None)
    assert shell.code('echo "never ended') not in (0, None)
    assert shell.code("if true") not in (0, None)
    shell.run("cat <<END\nno end")
    assert shell.run("echo goes on") == (0, "goes on\n")


@every
def test_exit_ends_the_shell_and_nothing_else(shell: LiveShell) -> None:
    command = shell.start("exit 3")
    assert shell.gone() == 3
    assert not shell.marks(MarkKind.END, command)


@every
def test_exec_takes_the_shell_s_place(shell: LiveShell) -> None:
    command = shell.start("exec sh -c 'echo instead; exit 4'")
    assert shell.gone() == 4
    assert b"instead" in shell.received and not shell.marks(MarkKind.END, command)


@posix
def test_errexit_ends_the_shell_with_the_first_failure(shell: LiveShell) -> None:
    assert shell.code("false; set -e") == 0
    assert shell.run("echo still there") == (0, "still there\n")
    command = shell.start("false; echo not this")
    assert shell.gone() == 1
    assert not shell.marks(MarkKind.END, command)


@posix
def test_an_error_that_drops_the_line_is_ended_by_the_prompt(shell: LiveShell) -> None:
    for command in ("set -u; echo $nowhere; echo on", "echo ${nowhere?why}"):
        code, output = shell.run(command)
        assert code not in (0, None) and "nowhere" in output and "on\n" not in output
    assert shell.run("echo on") == (0, "on\n")


@posix
def test_options_and_odd_settings_do_no_harm(shell: LiveShell) -> None:
    shell.run("set -o noclobber; IFS=0123456789abcdef; set -u; set -a")
    shell.run("alias printf=false eval=false command=false builtin=false return=false true=false")
    shell.run("printf() { false; }; env() { false; }")
    assert shell.run("echo fine") == (0, "fine\n")
    assert shell.code("(exit 5)") == 5
    told = parse_report(shell.report.read_bytes())
    assert told is not None and told[1]["HOME"] == str(shell.home)


@posix
def test_the_functions_leave_no_trace_in_the_output(shell: LiveShell) -> None:
    shell.run("set -x")
    code, output = shell.run("echo seen; false")
    assert code == 1 and "seen" in output and "__console" not in output
    assert "__console" not in shell.output("set +x")


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("bash", "PS1='> '; PROMPT_COMMAND=:"),
        ("bash", 'PROMPT_COMMAND="echo own; $PROMPT_COMMAND"; unset PS1'),
        ("zsh", "PS1='> '; precmd_functions=(); preexec_functions=(); precmd() { :; }"),
        ("zsh", "zle-line-init() { :; }; zle -N zle-line-init"),
        ("sh", "PS1='> '"),
        ("fish", "function fish_prompt; echo '> '; end"),
    ],
)
def test_a_new_prompt_does_not_take_the_marks_away(kind: str, change: str) -> None:
    if kind not in HERE:
        pytest.skip(f"{PROGRAMS[kind]} is not installed")
    with LiveShell(kind) as shell:
        assert shell.code(change) == 0
        assert shell.code("sh -c 'exit 9'") == 9
        assert shell.interrupt()[1][0] == 130


@every
def test_an_interrupt_ends_the_command_once(shell: LiveShell) -> None:
    command, (code, output) = shell.interrupt()
    assert code == 130 and "not this" not in output
    mark = len(shell.received)
    shell.press(b"\r")
    shell.wait(MarkKind.PROMPT, after=mark)
    assert len(shell.marks(MarkKind.END, command)) == 1
    assert shell.output(last(shell.kind)) == "130\n"


@every
def test_a_program_cannot_forge_the_end(shell: LiveShell) -> None:
    forged = "\\033]133;D;0;0123456789abcdef\\007\\033]133;A\\007"
    assert shell.code(f"printf '{forged}'; sh -c 'exit 8'") == 8
    assert "__console" not in shell.output("env")


@posix
def test_the_id_reaches_no_child_even_when_everything_is_exported(shell: LiveShell) -> None:
    shell.run("set -a")
    command = shell.start("env")
    assert command not in shell.end(command)[1]


@every
def test_output_that_goes_elsewhere_and_a_silent_terminal_hide_no_mark(shell: LiveShell) -> None:
    assert shell.run("stty -echo") == (0, "")
    assert shell.run("echo heard") == (0, "heard\n")
    if shell.kind is not ShellKind.FISH:  # it cannot redirect itself
        shell.run("exec > all.txt")
        assert shell.run("echo written; (exit 6)") == (6, "")
        assert "written\n" in (shell.home / "all.txt").read_text()


@every
def test_a_background_job_does_not_hold_the_command(shell: LiveShell) -> None:
    assert shell.code("sleep 600 &") is not None
    assert shell.run("echo next") == (0, "next\n")
    shell.run("kill %1" if shell.kind is not ShellKind.FISH else "kill $last_pid")


@every
def test_a_question_waits_for_its_answer(shell: LiveShell) -> None:
    command = shell.start(
        # In two pieces: the line itself is echoed, too.
        "sh -c 'stty -echo; printf %s%s Pass word:; read -r p; stty echo; echo \"<$p>\"'"
    )
    shell.await_output(b"Password:")
    assert not shell.marks(MarkKind.END, command)
    shell.press(b"secret\n")
    code, output = shell.end(command)
    assert code == 0 and output.startswith("Password:") and output.endswith("<secret>\n")


@every
def test_a_command_of_64_kilobytes(shell: LiveShell) -> None:
    body = "word 'x' ü %s !\n" * 3900
    quote = "\\'" if shell.kind is ShellKind.FISH else "'\\''"
    command = f"printf %s '{body.replace(chr(39), quote)}' | wc -c"
    assert len(command.encode()) > 65536
    bracketed = shell.kind is not ShellKind.SH
    assert int(shell.run(command, bracketed=bracketed)[1]) == len(body.encode())


@every
def test_two_commands_typed_at_once_end_one_after_the_other(shell: LiveShell) -> None:
    ids = ("aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb")
    keys = typed(shell.kind, "sh -c 'exit 1'", ids[0]) + typed(shell.kind, "sh -c 'exit 2'", ids[1])
    shell.press(keys.encode())
    assert [shell.end(command)[0] for command in ids] == [1, 2]


@pytest.mark.parametrize("kind", [k for k in HERE if k != "sh"])
def test_a_prompt_is_told_when_the_terminal_is_ready_for_typing(shell: LiveShell) -> None:
    for _ in range(5):
        end = shell.wait(MarkKind.END, shell.start("true"))
        shell.wait(MarkKind.PROMPT, after=end.end)
        assert not termios.tcgetattr(shell.process.fd)[3] & termios.ICANON


@posix
def test_the_user_s_debug_trap_goes_on_working(shell: LiveShell) -> None:
    if shell.kind is ShellKind.SH:
        pytest.skip("POSIX has no such trap")
    shell.run("trap 'count=$((count+1))' DEBUG")
    assert shell.code("sh -c 'exit 3'") == 3
    assert int(shell.output("echo $count")) > 0


NOISY = "echo noise; no-such-program; false\n"
RC = {
    "bash": (".bashrc", NOISY + "PROMPT_COMMAND='own=1'\nPS1='own> '\nalias printf=false\n"),
    "zsh": (".zshrc", NOISY + "precmd_functions=(); precmd() { :; }\nsetopt no_unset\n"),
    "sh": (".shrc", NOISY + "PS1='own> '\nset -u\n"),
    "fish": (".config/fish/config.fish", NOISY + "function fish_prompt; echo own; end\n"),
}


@every
@pytest.mark.parametrize("more", ["", "exec >/dev/null\n"])
def test_the_user_s_files_are_read_and_may_do_what_they_like(kind: str, more: str) -> None:
    if kind == "fish" and more:
        pytest.skip("fish cannot redirect itself")
    name, text = RC[kind]
    known = "set -g known yes\n" if kind == "fish" else "known=yes\n"
    environment = {"ENV": "$HOME/.shrc"} if kind == "sh" else {}
    with LiveShell(kind, files={name: text + known + more}, environment=environment) as shell:
        back = "" if kind == "fish" else "exec >/dev/tty; "
        assert shell.run(f"{back}echo $known") == (0, "yes\n")
        assert shell.interrupt()[1][0] == 130
        left = shell.output("env")
        assert "CONSOLE_AUTOMATION" not in left and str(SCRIPTS) not in left


@every
def test_directory_and_environment_are_told_before_the_end(shell: LiveShell) -> None:
    said = "set -gx SAID 'a b\n=c'" if shell.kind is ShellKind.FISH else "export SAID='a b\n=c'"
    shell.run(f"cd /usr; {said}; sh -c 'exit 2'")
    told = parse_report(shell.report.read_bytes())
    assert told is not None
    assert told[0] == "/usr" and told[1]["SAID"] == "a b\n=c"
    assert not [name for name in told[1] if "CONSOLE" in name.upper()]


@every
@pytest.mark.parametrize("limit", ["-f 0", "-n 16"])
def test_the_user_s_limits_end_no_shell_and_hide_no_mark(shell: LiveShell, limit: str) -> None:
    assert shell.run(f"ulimit {limit}") == (0, "")
    assert shell.run("echo next; sh -c 'exit 3'") == (3, "next\n")
    assert shell.interrupt()[1][0] == 130


@posix
def test_a_report_runs_no_trap_of_the_user_s(shell: LiveShell) -> None:
    assert shell.run("trap 'echo bye' EXIT; trap 'echo big' XFSZ") == (0, "")
    assert shell.run("ulimit -f 0") == (0, "")
    assert shell.run("true") == (0, "") and b"big\r\n" not in shell.received
    command = shell.start("exit 4")
    assert shell.gone() == 4 and not shell.marks(MarkKind.END, command)
    assert shell.received.count(b"bye\r\n") == 1


TEXTS = {kind: (SCRIPTS / name).read_text() for kind, name in NAMES.items()}


@every
@pytest.mark.parametrize("login", HERE)
def test_a_far_shell_starts_integrated_and_leaves_no_file(kind: str, login: str) -> None:
    if kind == "sh":
        chosen, environment = None, {"SHELL": PROGRAMS[kind]}
    else:
        chosen, environment = ShellKind(kind), {}
    text = remote_bootstrap(chosen, TEXTS)
    assert len(text) < 100_000
    argv = (PROGRAMS[login], "-c", text)
    probe = LiveShell(kind, argv=argv, environment={**environment, "TMPDIR": "/tmp"})
    with probe as shell:
        assert shell.code("sh -c 'exit 5'") == 5
        assert "console." not in shell.output("env")
        assert shell.interrupt()[1][0] == 130
