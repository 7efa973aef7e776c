"""Start the command: own session, default signals, three descriptors, nothing else inherited."""

import os
import signal

#: What the command shall not inherit from Python or from the shim: SIGPIPE and SIGXFSZ are ignored
#: by the interpreter, the others by the shim.
_DEFAULTS = [s for s in signal.valid_signals() if s not in (signal.SIGKILL, signal.SIGSTOP)]


def spawn(
    executable: str, argv: list[str], environment: dict[str, str], descriptors: tuple[int, int, int]
) -> int:
    """Return the pid of the spawned command. Raises OSError with exec's own errno."""
    actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(descriptors)]
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


def fork_and_exec(
    executable: str, argv: list[str], environment: dict[str, str], descriptors: tuple[int, int, int]
) -> int:
    """The same where posix_spawn cannot start a session: exec's errno comes back through a pipe."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
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
