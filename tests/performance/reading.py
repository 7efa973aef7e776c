"""B9: reading 100 MB of retained output back, page by page, and the end of it.

Through the Python API with its defaults but for the size of a page: text, sanitized as a model gets
it. The output is log lines, because zeros would be cheaper to sanitize than what jobs print.
"""

import asyncio
import time
from pathlib import Path

from console_automation.app import App, open_app
from console_automation.config import Settings
from tests.performance.harness import Row, ms, p50, times
from tests.performance.product import CALM, state_directory

_SIZE = 100_000_000
_LINE = "2026-01-01T00:00:00.000Z INFO worker-7 compiled module number 4711 in 12.5 ms"
_PAGE = 1 << 20
_ROUNDS = 5
_TAILS = 50


def pages_and_tail() -> list[Row]:
    """B9: all pages, then the last lines."""
    with state_directory() as home:
        return asyncio.run(_measure(home))


async def _measure(home: Path) -> list[Row]:
    async with open_app(home, Settings(**CALM)) as app:
        job_id = await app.start_background_job(
            f"yes '{_LINE}' | head -c {_SIZE}", output_limit_bytes=2 * _SIZE
        )
        job = await app.get_background_job_status(job_id, wait_ms=45_000)
        assert job["output"] == job["output"] | {"bytes": _SIZE, "droppedBytes": 0}, job
        floors, rates = [], []
        for _ in range(_ROUNDS):
            floors.append(_read_files(home))
            rates.append(await _read_all(app, job_id))
        raw = await _read_all(app, job_id, raw=True)
        small = await _read_all(app, job_id, max_bytes=16_384)
        tails = [await _tail(app, job_id) for _ in range(_TAILS)]
    ratio = p50(rates) / p50(floors)
    return [
        Row(
            budget="B9",
            what="100 MB of log lines read in pages of 1 MiB",
            figure=f"{p50(rates):,.0f} MB/s",
            floor=f"{p50(floors):,.0f} MB/s read() of the segments",
            ratio=times(ratio),
            limit="≥ 100 MB/s",
            met=p50(rates) >= 100,
        ),
        Row(budget="B9", what="the same, raw (base64)", figure=f"{raw:,.0f} MB/s"),
        Row(budget="B9", what="the same in pages of 16 KiB", figure=f"{small:,.0f} MB/s"),
        Row(
            budget="B9",
            what="the last 20 lines of it, p50",
            figure=ms(p50(tails)),
            limit="< 5 ms",
            met=p50(tails) < 0.005,
        ),
    ]


async def _read_all(app: App, job_id: str, **options: object) -> float:
    """Read from the start to the end and return the MB/s."""
    options = {"max_bytes": _PAGE, **options}
    since, more = 0, True
    began = time.perf_counter()
    while more:
        page = await app.get_background_job_output(job_id, since=since, **options)
        since, more = page["nextSince"], page["hasMore"]
    return _SIZE / 1e6 / (time.perf_counter() - began)


async def _tail(app: App, job_id: str) -> float:
    began = time.perf_counter()
    page = await app.get_background_job_output(job_id, tail=20)
    taken = time.perf_counter() - began
    assert sum(chunk["content"].count("\n") for chunk in page["output"]) >= 19
    return taken


def _read_files(home: Path) -> float:
    began = time.perf_counter()
    size = sum(len(path.read_bytes()) for path in home.glob("runs/*/output.*"))
    return size / 1e6 / (time.perf_counter() - began)
