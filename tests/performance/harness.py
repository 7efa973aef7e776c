"""What every benchmark needs: rounds that alternate between floor and figure, and rows for the table.

Machines are noisy, and the noise comes in waves. So floor and figure are measured in turns, a little
of one, a little of the other, and what is judged is their ratio. Medians throughout: one interrupted
round says nothing about the product.
"""

import os
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TRUE = shutil.which("true") or "/bin/true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table. `met` is None for a figure that stands there for information only."""

    budget: str
    what: str
    figure: str
    floor: str = ""
    ratio: str = ""
    limit: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return {True: "met", False: "**missed**", None: "for information"}[self.met]


@dataclass(frozen=True, slots=True)
class Pair:
    """Medians of alternating rounds; `ratio` is the median of the rounds' own ratios."""

    floor: float
    figure: float
    ratio: float


def alternate(rounds: int, floor: Callable[[], float], figure: Callable[[], float]) -> Pair:
    """Measure both in turns; each returns one figure of one round."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            late = figure()
            pairs.append((floor(), late))
        else:
            pairs.append((floor(), figure()))
    return Pair(
        p50([each for each, _ in pairs]),
        p50([each for _, each in pairs]),
        p50([over / under for under, over in pairs]),
    )


def seconds(work: Callable[[], object]) -> float:
    """Return how long the work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def p50(samples: Sequence[float]) -> float:
    return statistics.median(samples)


def p95(samples: Sequence[float]) -> float:
    return sorted(samples)[max(0, round(len(samples) * 0.95) - 1)]


def ms(value: float) -> str:
    """Return seconds as milliseconds to read."""
    return f"{value * 1000:.2f} ms" if value < 0.1 else f"{value * 1000:,.0f} ms"


def per_second(value: float) -> str:
    return f"{value:,.0f}/s"


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"


def times(ratio: float) -> str:
    return f"{ratio:.2f} x"


def spawn_and_wait() -> None:
    """The floor of running anything: one `true`, with nothing of ours in the way."""
    pid = os.posix_spawn(TRUE, ["true"], os.environ)
    os.waitpid(pid, 0)
