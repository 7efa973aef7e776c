"""Starting a command: posix_spawn and its portable stand-in are told apart by nothing but speed."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from console_automation.shim.spawn import fork_and_exec, spawn

#: 32 and 33 belong to glibc, whose posix_spawn leaves them ignored and whose threads take them back.
LIBRARY_SIGNALS = 0b11 << 31

Spawn = Callable[[str, list[str], dict[str, str], tuple[int, int, int]], int]


def without_posix_spawn(
    executable: str, argv: list[str], environment: dict[str, str], fds: tuple[int, int, int]
) -> int:
    """`spawn` on a system whose posix_spawn cannot start a session."""

    def refuse(*_: object, **__: object) -> int:
        raise NotImplementedError("setsid")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "posix_spawn", refuse)
        return spawn(executable, argv, environment, fds)


@pytest.fixture(params=[spawn, fork_and_exec, without_posix_spawn], ids=lambda each: each.__name__)
def start(request: pytest.FixtureRequest) -> Spawn:
    each: Spawn = request.param
    return each


@pytest.fixture
def pipes() -> Iterator[tuple[tuple[int, int, int], int]]:
    """The three descriptors for a command, and where to read what it prints."""
    null = os.open(os.devnull, os.O_RDONLY)
    reader, writer = os.pipe()
    yield (null, writer, writer), reader
    for fd in (null, reader, writer):
        os.close(fd)


Pipes = tuple[tuple[int, int, int], int]


def end_of(pid: int) -> tuple[str, int]:
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return "signal", os.WTERMSIG(status)
    return "code", os.WEXITSTATUS(status)


def shell(start: Spawn, script: str, pipes: Pipes, **environment: str) -> int:
    return start("/bin/sh", ["sh", "-c", script], environment, pipes[0])


@pytest.mark.parametrize("code", [0, 1, 2, 42, 126, 127, 128, 137, 139, 143, 255])
def test_the_exit_code_is_the_commands_own(start: Spawn, pipes: Pipes, code: int) -> None:
    """Promise 5."""
    assert end_of(shell(start, f"exit {code}", pipes)) == ("code", code)


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "ABRT", "INT", "PIPE", "HUP"])
def test_a_signal_is_no_exit_code(start: Spawn, pipes: Pipes, name: str) -> None:
    """Promise 5."""
    number = signal.Signals[f"SIG{name}"]
    assert end_of(shell(start, f"kill -{name} $$", pipes)) == ("signal", number)


def unusable(tmp_path: Path) -> dict[str, str]:
    """Make files that exec refuses, and return which error each of them gives."""
    (tmp_path / "plain").write_text("text")
    (tmp_path / "text").write_text("no interpreter is named here\n")
    (tmp_path / "lost").write_text("#!/no/such/interpreter\n")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("text", "lost"):
        (tmp_path / name).chmod(0o755)
    return {
        "nothing": "ENOENT",
        "plain": "EACCES",
        ".": "EACCES",
        "text": "ENOEXEC",
        "lost": "ENOENT",
        "plain/inside": "ENOTDIR",
        "loop": "ELOOP",
        "x" * 300: "ENAMETOOLONG",
    }


def test_what_exec_refuses_is_refused_with_its_own_errno(
    start: Spawn, pipes: Pipes, tmp_path: Path
) -> None:
    expected, found = unusable(tmp_path), {}
    before = {child.pid for child in psutil.Process().children()}
    for name in expected:
        with pytest.raises(OSError) as refused:  # noqa: PT011 - the errno is what is checked
            start(str(tmp_path / name), ["x"], {}, pipes[0])
        found[name] = errno.errorcode[refused.value.errno or 0]
    assert found == expected
    after = {child.pid for child in psutil.Process().children()}
    assert after <= before  # nothing is left to be reaped


def test_arguments_too_long_for_the_system_are_refused(start: Spawn, pipes: Pipes) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.E2BIG)):
        start("/bin/true", ["true", "x" * (1 << 20)], {}, pipes[0])


def printed(start: Spawn, script: str, pipes: Pipes, **environment: str) -> str:
    assert end_of(shell(start, script, pipes, **environment)) == ("code", 0)
    return os.read(pipes[1], 65536).decode().strip()


def test_the_command_leads_its_own_session(start: Spawn, pipes: Pipes) -> None:
    pid, session, group = printed(
        start, "read pid _ _ _ group session _ < /proc/self/stat; echo $$ $session $group", pipes
    ).split()
    assert pid == session == group and int(pid) != os.getpgid(0)


def test_the_command_inherits_no_signal_that_is_ignored_or_blocked(
    start: Spawn, pipes: Pipes
) -> None:
    """Or `yes | head -1` would not end: Python ignores SIGPIPE."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        found = printed(start, "exec grep -E 'Sig(Blk|Ign)' /proc/self/status", pipes)
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
    blocked, ignored = (int(line.split()[1], 16) for line in found.splitlines())
    assert (blocked, ignored & ~LIBRARY_SIGNALS) == (0, 0)


def test_the_command_inherits_three_descriptors_and_its_environment_alone(
    start: Spawn, pipes: Pipes
) -> None:
    script = 'for fd in /proc/$$/fd/*; do readlink "$fd"; done; exec env'
    secret, other = os.pipe()
    try:
        found = printed(start, script, pipes, ONLY="this", PATH="/usr/bin:/bin").splitlines()
        leaked = os.readlink(f"/proc/self/fd/{secret}")
    finally:
        os.close(secret)
        os.close(other)
    own = os.readlink(f"/proc/self/fd/{pipes[1]}")
    assert (found.count(own), found.count(leaked)) == (2, 0)
    assert "ONLY=this" in found and not any("PYTEST" in line for line in found)
