"""console_list_jobs and console_get_job_metrics: what there is, and how much of it."""

import os

import pytest

from tests.integration.clients import Client
from tests.integration.conftest import Gate
from tests.integration.steps import ok, over, running, start

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIST = "console_list_jobs"


async def ids(client: Client, **options: object) -> list[str]:
    """Return the ids of the jobs on one page."""
    return [job["id"] for job in (await ok(client, LIST, options=options))["jobs"]]


async def test_filters_narrow_the_list_and_the_newest_comes_first(
    client: Client, gate: Gate
) -> None:
    session = f"s-{os.urandom(4).hex()}"
    failed = await start(client, "exit 1", sessionId=session, name="a", tags={"k": "1", "m": "x"})
    done = await start(client, "true", sessionId=session, name="b", tags={"k": "2", "m": "x"})
    for job_id in (failed, done):
        await over(client, job_id)
    live = await start(client, gate.wait, sessionId=session, name="b")
    await running(client, live)
    assert await ids(client, sessionId=session) == [live, done, failed]
    assert await ids(client, sessionId=session, status="failed") == [failed]
    assert await ids(client, sessionId=session, status="running") == [live]
    assert await ids(client, sessionId=session, name="b") == [live, done]
    assert await ids(client, sessionId=session, tags={"m": "x"}) == [done, failed]
    assert await ids(client, sessionId=session, tags={"k": "2", "m": "x"}) == [done]
    assert await ids(client, sessionId=session, tags={"k": "3"}) == []
    assert (await ids(client))[:3] == [live, done, failed]
    gate.open()
    await over(client, live)


async def test_a_list_is_read_page_by_page_and_its_total_counts_all(client: Client) -> None:
    session = f"s-{os.urandom(4).hex()}"
    made = [await start(client, "true", sessionId=session) for _ in range(5)]
    found: list[str] = []
    cursor: dict[str, str] = {}
    for size in (2, 2, 1):
        page = await ok(client, LIST, options={"sessionId": session, "limit": 2, **cursor})
        assert (len(page["jobs"]), page["total"]) == (size, 5)
        found += [job["id"] for job in page["jobs"]]
        cursor = {"cursor": page.get("nextCursor", "")}
    assert cursor == {"cursor": ""} and found == made[::-1]
    for job_id in made:
        await over(client, job_id)


async def test_the_figures_follow_the_jobs_and_add_up(client: Client, gate: Gate) -> None:
    async def figures() -> dict[str, object]:
        metrics: dict[str, object] = (await ok(client, "console_get_job_metrics"))["metrics"]
        states = [name for name in metrics if name.endswith("Jobs") and name != "totalJobs"]
        assert len(states) == 6
        assert sum(metrics[name] for name in states) == metrics["totalJobs"]  # type: ignore[misc]
        return metrics

    def grown(name: str) -> int:
        return after[name] - before[name]  # type: ignore[operator, no-any-return]

    before = await figures()
    await over(client, await start(client, "true"))
    await over(client, await start(client, "exit 1"))
    live = await start(client, gate.wait)
    behind = await start(client, "true", dependsOn=[live])
    await running(client, live)
    after = await figures()
    changes = ("totalJobs", "completedJobs", "failedJobs", "runningJobs", "pendingJobs")
    assert [grown(name) for name in changes] == [4, 1, 1, 1, 1]
    assert after["concurrency"] == {"current": before["runningJobs"] + 1, "maximum": 8}  # type: ignore[operator]
    for name in ("queueWaitMs", "runTimeMs"):
        quantiles = after[name]
        assert 0 <= quantiles["p50"] <= quantiles["p95"]  # type: ignore[index]
    assert after["averageExecutionTime"] > 0  # type: ignore[operator]
    await ok(client, "console_cancel_job", jobId=live)
    await over(client, behind)
    after = await figures()
    assert [grown(name) for name in ("cancelledJobs", "failedJobs")] == [1, 2]
