"""B10: the command line as a shell pays for it: whole processes, beside a Python that does nothing.

Both sides find their modules compiled, as they are once the package is installed.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from tests.performance.harness import Row, alternate, ms, seconds, times
from tests.performance.product import PROGRAM, running, settled

_ROUNDS = 40
_PASS = [sys.executable, "-c", "pass"]
_JOB = str(PROGRAM.with_name("job"))


def whole_processes() -> list[Row]:
    """B10: `job run` and `job status`, a daemon running."""
    with running() as daemon, _compiled(CONSOLE_AUTOMATION_HOME=str(daemon.home)) as environment:
        spend = partial(_spend, environment)
        spend([_JOB, "run", "--name", "first", "--wait", "true"])
        return [
            _row("`job run true`", spend, [_JOB, "run", "true"]),
            _row("`job status`", spend, [_JOB, "status"]),
            _row("`job status NAME`", spend, [_JOB, "status", "first"]),
        ]


@contextmanager
def _compiled(**more: str) -> Iterator[dict[str, str]]:
    """An environment in which what was imported once is compiled, also where Python is told not to."""
    with tempfile.TemporaryDirectory(prefix="ca-bench-") as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache, **more}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        yield environment


def _spend(environment: dict[str, str], words: list[str]) -> float:
    """Return how long a process takes from its start to its end."""
    return seconds(
        lambda: subprocess.run(
            words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
        )
    )


def _row(what: str, spend: "partial[float]", words: list[str]) -> Row:
    for warm_up in (words, _PASS):
        spend(warm_up)
    settled()
    pair = alternate(_ROUNDS, partial(spend, _PASS), partial(spend, words))
    return Row(
        budget="B10",
        what=f"{what}, the whole process, p50",
        figure=ms(pair.figure),
        floor=f"{ms(pair.floor)} `python -c pass`",
        ratio=times(pair.ratio),
        limit="≤ 4 x",
        met=pair.ratio <= 4,
    )
