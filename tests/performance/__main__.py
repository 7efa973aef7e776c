"""`python -m tests.performance [B1 B2 ...]`: measure the budgets, print the table, rewrite the page.

A budget that is missed is said plainly and is no error: the machine may be busy. What cannot be
measured is one.
"""

import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping

from tests.performance import (
    bridge,
    calls,
    capture,
    cluster,
    command_line,
    crowd,
    neighbours,
    page,
    queue_depth,
    reading,
    recovery,
    schedules,
    submission,
    terminals,
    workflows,
)
from tests.performance.harness import Row

BUDGETS: Mapping[str, Callable[[], list[Row]]] = {
    "B1": calls.one_at_a_time,
    "B2": calls.ten_at_a_time,
    "B3": submission.durable,
    "B4": capture.flood,
    "B5": bridge.start_and_size,
    "B6": crowd.thousand_sleeps,
    "B7": queue_depth.hundred_thousand,
    "B8": neighbours.status_under_flood,
    "B9": reading.pages_and_tail,
    "B10": command_line.whole_processes,
    "B11": recovery.thousand_live_shims,
    "B12": terminals.keystrokes_and_crowd,
    "B13": cluster.over_nats,
    "B14": schedules.ten_thousand,
    "B15": workflows.thousand_steps,
}


def main(wanted: list[str]) -> int:
    """Measure; returns the exit code."""
    unknown = [name for name in wanted if name not in BUDGETS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}. Budgets: {', '.join(BUDGETS)}")
        return 2
    _allow_many_files()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is cleaned up
    rows: list[Row] = []
    for name in wanted or BUDGETS:
        began = time.monotonic()
        measured = BUDGETS[name]()
        rows += measured
        _print(measured, time.monotonic() - began)
    page.rewrite(rows)
    judged = [row for row in rows if row.met is not None]
    missed = [row for row in judged if not row.met]
    print(f"\n{len(judged) - len(missed)} of {len(judged)} met. {page.machine()}")
    for row in missed:
        print(f"MISSED {row.budget} {row.what}: {row.figure} {row.ratio}, budget {row.limit}")
    return 0


def _print(rows: list[Row], seconds: float) -> None:
    print(f"\n{rows[0].budget} ({seconds:.0f} s)")
    for row in rows:
        verdict = row.verdict.strip("*") if row.met is not None else ""
        beside = "".join(
            f"; {part}" for part in (row.floor and f"floor {row.floor}", row.ratio) if part
        )
        limit = f"  [{row.limit}]" if row.limit else ""
        print(f"  {verdict:<7} {row.what}: {row.figure}{beside}{limit}", flush=True)


def _allow_many_files() -> None:
    """A thousand live runs are a thousand sockets for the daemon that inherits this limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
