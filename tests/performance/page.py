"""The table in docs/performance.md: written by the benchmarks, read by people."""

import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from console_automation import __version__
from tests.performance.harness import Row, ms, p50

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
_BEGIN, _END = "<!-- measured -->", "<!-- /measured -->"
_HEAD = (
    "| # | what | figure | floor | ratio | budget | verdict |",
    "|---|---|---|---|---|---|---|",
)
_FLUSHES = 100


def rewrite(rows: Sequence[Row]) -> None:
    """Put the rows into the page; budgets that were not measured keep theirs."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    measured, _, after = rest.partition(_END)
    kept = {_budget(line): [] for line in [*_lines(measured), *map(line_of, rows)]}
    fresh = {row.budget for row in rows}
    for line in _lines(measured):
        if _budget(line) not in fresh:
            kept[_budget(line)].append(line)
    for row in rows:
        kept[row.budget].append(line_of(row))
    table = [line for budget in sorted(kept, key=_number) for line in kept[budget]]
    block = "\n".join([_BEGIN, "", machine(), "", *_HEAD, *table, "", _END])
    PAGE.write_text(before + block + after, encoding="utf-8")


def line_of(row: Row) -> str:
    """Return a row in Markdown."""
    cells = (row.budget, row.what, row.figure, row.floor, row.ratio, row.limit, row.verdict)
    return f"| {' | '.join(cells)} |"


def _lines(measured: str) -> list[str]:
    return [line for line in measured.splitlines() if line.startswith("| B")]


def _budget(line: str) -> str:
    return line.split()[1]


def _number(budget: str) -> int:
    return int(budget.removeprefix("B"))


def machine() -> str:
    """Say in one sentence what was measured on."""
    system = ".".join(platform.release().split("-")[0].split(".")[:2])
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"Version {__version__} on {os.cpu_count()} processors and {memory:.0f} GiB of memory,"
        f" {platform.system()} {system}, Python {platform.python_version()}, SQLite"
        f" {sqlite3.sqlite_version}; state on {_filesystem()}, where a write with fdatasync takes"
        f" {ms(_flush_seconds())}."
    )


def _filesystem() -> str:
    folder = Path(tempfile.gettempdir()).resolve()
    mounts = {Path(each.mountpoint): each.fstype for each in psutil.disk_partitions(all=True)}
    for place in (folder, *folder.parents):
        if place in mounts:
            return mounts[place]
    return "an unknown filesystem"


def _flush_seconds() -> float:
    taken = []
    with tempfile.TemporaryFile() as file:
        for _ in range(_FLUSHES):
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes(4096), 0)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return p50(taken)
