"""Promise 11: whatever a job prints, disk and memory are bounded and what is lost is counted exactly."""

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from console_automation.app import App
from tests.processes import bearing, new_mark, parent_of, resident_bytes
from tests.waiting import PATIENCE, until

WAIT_MS = PATIENCE * 1000
DEFAULT_LIMIT = 16 << 20
SMALLEST_LIMIT = 65_536
STATE_FILE = 4096
SHIM_BYTES = 32 << 20  # of which Python takes ten
DAEMON_GROWTH = 64 << 20  # sixteen times less than what is printed


@dataclass
class Peak:
    """The most that a job took of everything while it was watched."""

    disk: int = 0
    shim: int = 0
    daemon: int = 0


@dataclass
class Flood:
    """A job that prints a lot, under watch."""

    app: App
    run: Path
    job_id: str
    peak: Peak

    async def watch(self) -> dict[str, Any]:
        """Look at the job, and what it takes, once."""
        job = await self.app.get_background_job_status(self.job_id)
        self.peak.disk = max(self.peak.disk, disk_of(self.run))
        self.peak.daemon = max(self.peak.daemon, resident_bytes(os.getpid()))
        if "pid" in job:
            try:
                shim = resident_bytes(parent_of(job["pid"]))
            except (OSError, AssertionError):
                return job  # it has just ended
            self.peak.shim = max(self.peak.shim, shim)
        return job

    async def over(self) -> dict[str, Any]:
        """Watch the job to its end."""
        return await until(self._end)

    async def _end(self) -> dict[str, Any] | None:
        job = await self.watch()
        return job if "completedAt" in job else None

    async def retained(self) -> bytes:
        """Return everything that can still be read."""
        found, since = bytearray(), 0
        while True:
            page = await self.app.get_background_job_output(
                self.job_id, since=since, max_bytes=1 << 20, raw=True
            )
            for chunk in page["output"]:
                found += base64.b64decode(chunk["content"])
            since = page["nextSince"]
            if not page["hasMore"]:
                return bytes(found)


async def flood(app: App, home: Path, script: str, **options: Any) -> Flood:
    job_id = await app.start_background_job("sh", ["-c", script], **options)
    return Flood(app, home / "runs" / f"{job_id}.1", job_id, Peak())


def disk_of(run: Path) -> int:
    """Return the bytes of all files of a run, at a moment when none came or went."""
    while run.exists():
        files = sorted(run.iterdir())
        try:
            total = sum(file.stat().st_size for file in files)
        except FileNotFoundError:
            continue
        if sorted(run.iterdir()) == files:
            return total
    return 0


@pytest.mark.parametrize(
    ("script", "size", "byte"),
    [
        ("head -c 1073741824 /dev/zero", 1 << 30, b"\0"),
        ("yes '' | head -n 10000000", 10_000_000, b"\n"),
        ("head -c 104857600 /dev/zero >&2 & head -c 104857600 /dev/zero; wait", 200 << 20, b"\0"),
    ],
    ids=["a GiB in one line", "ten million empty lines", "both streams"],
)
async def test_a_flood_is_bounded_and_counted(
    app: App, home: Path, script: str, size: int, byte: bytes
) -> None:
    before = resident_bytes(os.getpid())
    job = await (flooding := await flood(app, home, script)).over()
    peak, counts = flooding.peak, job["output"]
    kept = await flooding.retained()
    assert (job["status"], counts["bytes"]) == ("completed", size)
    assert counts["bytes"] - counts["droppedBytes"] == len(kept) == kept.count(byte)
    assert len(kept) > min(size, DEFAULT_LIMIT) * 0.8
    assert peak.disk <= DEFAULT_LIMIT + STATE_FILE
    assert 0 < peak.shim < SHIM_BYTES and peak.daemon - before < DAEMON_GROWTH


async def test_a_job_that_never_stops_printing_stays_within_its_limit(app: App, home: Path) -> None:
    before = resident_bytes(os.getpid())
    flooding = await flood(app, home, "exec yes", output_limit_bytes=SMALLEST_LIMIT)

    async def has_printed_much() -> bool:
        return bool((await flooding.watch())["output"]["bytes"] > 20 << 20)

    await until(has_printed_much)
    await app.call("console_cancel_job", jobId=flooding.job_id)
    job, kept = await flooding.over(), await flooding.retained()
    assert job["status"] == "cancelled"
    assert job["output"]["bytes"] - job["output"]["droppedBytes"] == len(kept)
    assert kept in b"y\n" * len(kept)
    assert SMALLEST_LIMIT // 2 < flooding.peak.disk <= SMALLEST_LIMIT + STATE_FILE
    assert 0 < flooding.peak.shim < SHIM_BYTES
    assert flooding.peak.daemon - before < DAEMON_GROWTH


async def test_the_framing_of_tiny_writes_counts_too(app: App, home: Path) -> None:
    """Thirty-two bytes of frame for every byte printed, and still no byte above the limit."""
    script = "i=0; while [ $i -lt 20000 ]; do echo; i=$((i+1)); done"
    flooding = await flood(app, home, script, output_limit_bytes=SMALLEST_LIMIT)
    job, kept = await flooding.over(), await flooding.retained()
    assert (job["output"]["bytes"], set(kept)) == (20_000, {ord("\n")})
    assert job["output"]["droppedBytes"] == 20_000 - len(kept)
    assert flooding.peak.disk <= SMALLEST_LIMIT + STATE_FILE


NUMBERS = "".join(f"{number}\n" for number in range(1, 100_001)).encode()


@pytest.mark.parametrize(("policy", "part"), [("drop_oldest", "end"), ("drop_newest", "beginning")])
async def test_the_policy_says_which_part_is_kept(
    app: App, home: Path, policy: str, part: str
) -> None:
    flooding = await flood(
        app, home, "seq 100000", output_limit_bytes=SMALLEST_LIMIT, on_output_limit=policy
    )
    job, kept = await flooding.over(), await flooding.retained()
    assert (job["status"], job["output"]["bytes"]) == ("completed", len(NUMBERS))
    assert job["output"]["droppedBytes"] == len(NUMBERS) - len(kept)
    assert len(kept) > SMALLEST_LIMIT // 2
    assert NUMBERS.endswith(kept) if part == "end" else NUMBERS.startswith(kept)


async def test_a_job_may_be_ended_for_printing_too_much(app: App, home: Path) -> None:
    """Promise 14: with all of its processes."""
    mark = new_mark()
    script = f"sleep {mark} & setsid sleep {mark} & yes {mark}"
    flooding = await flood(
        app, home, script, output_limit_bytes=SMALLEST_LIMIT, on_output_limit="kill"
    )
    job, kept = await flooding.over(), await flooding.retained()
    assert (job["status"], job["reason"]) == ("failed", "output_limit")
    assert job["output"]["bytes"] - job["output"]["droppedBytes"] == len(kept)
    assert (
        kept.startswith(f"{mark}\n".encode()) and flooding.peak.disk <= SMALLEST_LIMIT + STATE_FILE
    )
    assert bearing(mark) == []
