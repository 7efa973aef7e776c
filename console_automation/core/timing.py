"""How long jobs waited and ran, summed up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: created, started (None when it never ran), completed: epoch seconds
Moments = tuple[float, float | None, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds, over the jobs that finished last; None while none has."""

    mean_run: float | None = None
    run_p50: float | None = None
    run_p95: float | None = None
    wait_p50: float | None = None
    wait_p95: float | None = None


def summarize(jobs: Iterable[Moments]) -> Timings:
    """Return the timings of finished jobs."""
    ran = [(created, started, completed) for created, started, completed in jobs if started]
    runs = sorted(max(0.0, completed - started) for _, started, completed in ran if started)
    waits = sorted(max(0.0, started - created) for created, started, _ in ran if started)
    if not runs:
        return Timings()
    return Timings(
        mean_run=sum(runs) / len(runs),
        run_p50=quantile(runs, 0.5),
        run_p95=quantile(runs, 0.95),
        wait_p50=quantile(waits, 0.5),
        wait_p95=quantile(waits, 0.95),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank quantile of a non-empty ascending sequence."""
    rank = max(1, -(-len(ordered) * int(share * 1000) // 1000))
    return ordered[rank - 1]
