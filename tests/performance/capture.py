"""B4: a job that floods its output.

Judged against `cat > file` on the same data. The product keeps the last 16 MiB by default and has
that to write; what it makes of keeping everything stands beside it.
"""

import asyncio
import hashlib
import subprocess
from pathlib import Path

from console_automation.app import App, open_app
from console_automation.config import Settings
from console_automation.engine.output import OutputQuery
from tests.performance.harness import Row, alternate, megabytes, seconds, times
from tests.performance.product import (
    CALM,
    Client,
    Daemon,
    forget_peak,
    memory_of,
    running,
    settled,
    state_directory,
)

_SIZE = 2_000_000_000
_FLOOD = f"head -c {_SIZE} /dev/zero"
_ROUNDS = 3
_LINES = 20_000_000
_SHORT_LINES = f"seq {_LINES}"
_AMPLE = 256 << 20


def flood() -> list[Row]:
    """B4: 2 GB, the daemon's memory meanwhile, and 20 million lines counted exactly."""
    with running() as daemon, Client(daemon.home) as client:
        client.end_of(client.start(_FLOOD))
        settled()
        before = memory_of(daemon.process.pid, "VmRSS")
        forget_peak(daemon.process.pid)
        pair = alternate(_ROUNDS, lambda: _cat(daemon), lambda: _capture(client))
        growth = memory_of(daemon.process.pid, "VmHWM") - before
        whole = _capture(client, outputLimitBytes=2 * _SIZE)
    kept, exact = _short_lines()
    return [
        Row(
            budget="B4",
            what="capture of 2 GB from `head -c`, the last 16 MiB kept",
            figure=_rate(pair.figure),
            floor=f"{_rate(pair.floor)} `cat > file`",
            ratio=times(pair.ratio),
            limit="≥ 1 x",
            met=pair.ratio >= 1,
        ),
        Row(budget="B4", what="the same, all of it kept", figure=_rate(whole)),
        Row(
            budget="B4",
            what="growth of the daemon's memory meanwhile, at its peak",
            figure=megabytes(growth),
            limit="< 10 MB",
            met=growth < 10e6,
        ),
        Row(
            budget="B4",
            what="20 million short lines: no loss within the limit, exact counts beyond it",
            figure=f"{megabytes(kept)} kept",
            limit="exact",
            met=exact,
        ),
    ]


def _rate(value: float) -> str:
    return f"{value / 1e6:,.0f} MB/s"


def _cat(daemon: Daemon) -> float:
    file = daemon.home / "floor"
    taken = seconds(
        lambda: subprocess.run(f"{_FLOOD} | cat > {file}", shell=True, check=True, cwd=daemon.home)
    )
    file.unlink()
    return _SIZE / taken


def _capture(client: Client, **options: object) -> float:
    def run() -> None:
        job = client.end_of(client.start(_FLOOD, **options))
        assert job["exitCode"] == 0 and job["output"]["bytes"] == _SIZE, job

    rate = _SIZE / seconds(run)
    client.call("console_cleanup_jobs", options={"maxAge": 0})
    return rate


def _short_lines() -> tuple[int, bool]:
    """Return how many bytes are kept of what fits, and whether every figure is exact."""
    printed = subprocess.run(_SHORT_LINES.split(), capture_output=True, check=True).stdout
    with state_directory() as home:
        return asyncio.run(_count_lines(home, printed))


async def _count_lines(home: Path, printed: bytes) -> tuple[int, bool]:
    async with open_app(home, Settings(**CALM)) as app:
        kept, total, dropped = await _retained(app, output_limit_bytes=_AMPLE)
        is_whole = kept == hashlib.sha256(printed).digest() and (total, dropped) == (
            len(printed),
            0,
        )
        tail, cut_total, cut = await _retained(app)
        is_end = tail == hashlib.sha256(printed[cut:]).digest()
    return total, is_whole and is_end and cut_total == len(printed) and cut > 0


async def _retained(app: App, **options: object) -> tuple[bytes, int, int]:
    """Run the command; return the digest of what is kept, bytes printed, bytes dropped."""
    job_id = await app.start_background_job(_SHORT_LINES, **options)
    job = await app.get_background_job_status(job_id, wait_ms=45_000)
    assert job["status"] == "completed", job
    digest = hashlib.sha256()
    since, more = 0, True
    while more:
        query = OutputQuery(since=since, max_bytes=4 << 20, max_chunks=1 << 20)
        page = (await app.engine.output.read(job_id, query)).page
        digest.update(b"".join(chunk.data for chunk in page.chunks))
        since, more = page.next_since, page.has_more
    return digest.digest(), job["output"]["bytes"], job["output"]["droppedBytes"]
