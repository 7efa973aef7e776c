"""Start the command: own session, default signals, three descriptors, nothing else inherited."""

import fcntl
import os
import signal
import sys
import termios

#: What the command shall not inherit from Python or from the shim: SIGPIPE and SIGXFSZ are ignored
#: by the interpreter, the others by the shim.
_DEFAULTS = [s for s in signal.valid_signals() if s not in (signal.SIGKILL, signal.SIGSTOP)]


Descriptors = tuple[int, int, int]  #: for 0, 1 and 2; three times the same is a terminal
_OPENING_TAKES_IT = sys.platform == "linux"


def spawn(
    executable: str, argv: list[str], environment: dict[str, str], descriptors: Descriptors
) -> int:
    """Return the pid of the spawned command. Raises OSError with exec's own errno."""
    actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]]
    actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(descriptors)]
    if _is_terminal(descriptors):
        if not _OPENING_TAKES_IT:
            return fork_and_exec(executable, argv, environment, descriptors)
        # The first terminal that the leader of a session opens becomes its controlling terminal.
        actions[0] = (os.POSIX_SPAWN_OPEN, 0, os.ttyname(descriptors[0]), os.O_RDWR, 0)
    try:
        return os.posix_spawn(
            executable,
            argv,
            environment,
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULTS,
        )
    except NotImplementedError:
        return fork_and_exec(executable, argv, environment, descriptors)


def _is_terminal(descriptors: Descriptors) -> bool:
    return len(set(descriptors)) == 1


def fork_and_exec(
    executable: str, argv: list[str], environment: dict[str, str], descriptors: Descriptors
) -> int:
    """The same where posix_spawn cannot start a session or hand over a terminal: exec's errno comes
    back through a pipe."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            if _is_terminal(descriptors):
                fcntl.ioctl(descriptors[0], termios.TIOCSCTTY, 0)
            for number in _DEFAULTS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            for target, fd in enumerate(descriptors):
                os.dup2(fd, target)
            os.execve(executable, argv, environment)
        except OSError as error:
            os.write(writer, str(error.errno).encode())
        finally:
            os._exit(127)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        failure = pipe.read()
    if failure:
        os.waitpid(pid, 0)
        raise OSError(int(failure), os.strerror(int(failure)))
    return pid
