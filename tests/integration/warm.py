"""Processes forked from a warm one, in which everything has been imported: there in milliseconds."""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from console_automation.frontends.cli.program import JOB, load

WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(["pytest", "tests.integration.daemons", __name__])

for _name in JOB.commands:
    load(_name)


class Job:
    """A process of `job`, with a stdin of its own; what it printed and its exit code are kept."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], given: bytes) -> None:
        self._answer, theirs = WARM.Pipe(duplex=False)
        arguments = (list(words), dict(environment), given, theirs)
        self._process: ForkServerProcess = WARM.Process(target=_run, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def ended(self) -> tuple[int, bytes, bytes]:
        """Return exit code, stdout and stderr once it has ended."""
        code, out, err = self._answer.recv()
        self._process.join()
        return code, out, err

    def kill(self) -> None:
        """Have it end at once."""
        self._process.kill()


def _run(words: list[str], environment: dict[str, str], given: bytes, answer: Connection) -> None:
    os.environ.clear()
    os.environ.update(environment)
    files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
    os.write(files[0], given)
    os.lseek(files[0], 0, os.SEEK_SET)
    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    code = JOB.main(words)
    sys.stdout.flush()
    sys.stderr.flush()
    printed = [os.pread(fd, os.fstat(fd).st_size, 0) for fd in (1, 2)]
    answer.send((code, *printed))
