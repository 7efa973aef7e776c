"""Projects, names and references: what belongs together, and what a word for a job means."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.integration.behaviour.conftest import Open
from tests.integration.clients import Client
from tests.integration.conftest import Gate
from tests.integration.steps import ok, over, refused, running, start, status

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASYNC, LIST, CLEAN = "console_execute_async", "console_list_jobs", "console_cleanup_jobs"


def directory(*parts: object, git: bool = False) -> str:
    """Make a directory, with a repository in it if wanted, and return its path."""
    path = Path(*map(str, parts)).resolve()
    path.mkdir(parents=True)
    if git:
        (path / ".git").mkdir()
    return str(path)


async def found(client: Client, **options: Any) -> list[str]:
    """Return the ids of the jobs on one page that is the only one."""
    page = await ok(client, LIST, options=options)
    assert page["total"] == len(page["jobs"]) and "nextCursor" not in page
    return [job["id"] for job in page["jobs"]]


async def done(client: Client, where: str, **options: Any) -> str:
    """Run a job in a directory to its end and return its id."""
    job_id = await start(client, "true", workingDirectory=where, **options)
    await over(client, job_id)
    return job_id


async def test_a_project_has_the_jobs_of_all_directories_below_its_git_root(
    client: Client, tmp_path: Path
) -> None:
    root = directory(tmp_path, "repo", git=True)
    source = directory(root, "src", "deep")
    beside = directory(tmp_path, "beside")
    ids = [await done(client, where) for where in (root, source, beside)]
    projects = [(await status(client, job_id))["project"] for job_id in ids]
    assert projects == [root, root, beside]
    for asked in (root, source, f"{root}/", f"{root}/not/there"):
        assert await found(client, project=asked) == [ids[1], ids[0]]
    assert await found(client, project=beside) == [ids[2]]
    assert await found(client, project=str(tmp_path)) == []


async def test_active_jobs_are_those_that_wait_or_run(
    client: Client, gate: Gate, tmp_path: Path
) -> None:
    here = directory(tmp_path, "here")
    over_already = await done(client, here)
    live = await start(client, gate.wait, workingDirectory=here)
    waiting = await start(client, "true", workingDirectory=here, dependsOn=[live])
    await running(client, live)
    assert await found(client, project=here, status="active") == [waiting, live]
    assert await found(client, project=here, status="completed") == [over_already]
    gate.open()
    await over(client, waiting)
    assert await found(client, project=here, status="active") == []


async def test_a_name_belongs_to_one_active_job_of_a_project(
    client: Client, gate: Gate, tmp_path: Path
) -> None:
    here, there = directory(tmp_path, "here", git=True), directory(tmp_path, "there")
    below = directory(here, "below")
    first = await start(client, gate.wait, workingDirectory=here, name="n")
    for where in (here, below):
        options = {"workingDirectory": where, "name": "n"}
        error = await refused(client, ASYNC, command="true", options=options)
        assert (error["code"], error["details"]["jobId"]) == ("CONFLICT", first)
        assert "'n'" in error["error"] and first in error["error"]
    other = await start(client, gate.wait, workingDirectory=there, name="n")
    assert await found(client, project=here) == [first]
    gate.open()
    for job_id in (first, other):
        await over(client, job_id)
    assert await done(client, here, name="n") != first


async def test_a_job_is_run_again_only_when_its_name_is_free(
    client: Client, gate: Gate, tmp_path: Path
) -> None:
    here = directory(tmp_path, "here")
    first = await done(client, here, name="n")
    holder = await start(client, gate.wait, workingDirectory=here, name="n")
    error = await refused(client, "console_retry_job", jobId=first)
    assert (error["code"], error["details"]["jobId"]) == ("CONFLICT", holder)
    gate.open()
    await over(client, holder)
    again = (await ok(client, "console_retry_job", jobId=first))["job"]
    assert (again["name"], again["project"]) == ("n", here)
    await over(client, again["id"])


async def test_the_same_key_returns_the_job_that_has_the_name(
    client: Client, gate: Gate, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"name": "n", "workingDirectory": directory(tmp_path, "here")}
    key = f"key-{os.urandom(8).hex()}"
    first = await start(client, gate.wait, idempotencyKey=key, **options)
    assert await start(client, gate.wait, idempotencyKey=key, **options) == first
    gate.open()
    await over(client, first)


async def test_a_reference_is_an_id_or_a_name_or_the_beginning_of_an_id(
    client: Client, gate: Gate, tmp_path: Path
) -> None:
    name = f"n-{os.urandom(4).hex()}"
    here, there = directory(tmp_path, "here"), directory(tmp_path, "there")
    older = await done(client, here, name=name)
    active = await start(client, gate.wait, workingDirectory=here, name=name)
    other = await done(client, there, name=name)
    unlike = await done(client, there, name=f"{name}%")
    for reference, means in {
        older: [older],
        older.removeprefix("job-"): [older],
        name: [other, active],
        f"{name}%": [unlike],
        name[:-1]: [],
        name.upper(): [],
        f"{name}_": [],
    }.items():
        assert await found(client, ref=reference) == means, reference
    assert await found(client, ref=name, project=here) == [active]
    assert await found(client, ref=name, project=there) == [other]
    assert await found(client, ref=name, project=str(tmp_path)) == [other, active]
    assert active in await found(client, ref=active[:-1], limit=1000)
    gate.open()
    await over(client, active)
    assert await found(client, ref=name, project=here) == [active]  # the newest


async def test_the_total_says_how_many_jobs_a_reference_could_mean(
    client: Client, tmp_path: Path
) -> None:
    name = f"n-{os.urandom(4).hex()}"
    ids = [await done(client, directory(tmp_path, where), name=name) for where in "abc"]
    page = await ok(client, LIST, options={"ref": name, "limit": 2})
    assert [job["id"] for job in page["jobs"]] == [ids[2], ids[1]]
    assert page["total"] == 3 and "nextCursor" not in page


@pytest.mark.parametrize(
    "other",
    [{"status": "active"}, {"name": "n"}, {"sessionId": "s"}, {"tags": {"k": "v"}}],
    ids="".join,
)
async def test_a_reference_goes_with_no_other_filter(client: Client, other: dict[str, Any]) -> None:
    error = await refused(client, LIST, options={"ref": "n", **other})
    assert (error["code"], error["details"]["field"]) == ("INVALID_ARGUMENT", "options.ref")


@pytest.mark.parametrize("tool", [LIST, CLEAN])
@pytest.mark.parametrize("relative", ["here", ".", ""])
async def test_a_project_is_named_by_a_whole_path(client: Client, tool: str, relative: str) -> None:
    error = await refused(client, tool, options={"project": relative})
    assert (error["code"], error["details"]["field"]) == ("INVALID_ARGUMENT", "options.project")
    assert "absolute" in error["error"]


async def test_cleaning_up_a_project_touches_no_other(
    client: Client, gate: Gate, tmp_path: Path
) -> None:
    root = directory(tmp_path, "repo", git=True)
    below, beside = directory(root, "below"), directory(tmp_path, "beside")
    live = await start(client, gate.wait, workingDirectory=root)
    oldest, other, newest = [await done(client, where) for where in (below, beside, root)]
    spared = {"maxAge": 0, "keepCount": 1, "project": below}
    assert (await ok(client, CLEAN, options=spared))["cleaned"] == 1
    assert await found(client, project=root) == [newest, live]
    assert (await ok(client, CLEAN, options={"maxAge": 0, "project": root}))["cleaned"] == 1
    assert await found(client, project=root) == [live]
    assert await found(client, project=beside) == [other]
    error = await refused(client, "console_get_job_status", jobId=oldest)
    assert error["code"] == "JOB_NOT_FOUND"
    gate.open()
    await over(client, live)


async def test_a_job_in_a_sessions_scope_is_of_the_project_where_its_shell_is(
    client: Client, console: Open, gate: Gate, tmp_path: Path
) -> None:
    root = directory(tmp_path, "repo", git=True)
    below = directory(root, "below")
    session = await console("bash")
    await session.run(f"cd '{below}'")
    first = await start(client, gate.wait, sessionId=session.id, name="n")
    assert (await status(client, first))["project"] == root
    options = {"sessionId": session.id, "name": "n"}
    error = await refused(client, ASYNC, command="true", options=options)
    assert (error["code"], error["details"]["jobId"]) == ("CONFLICT", first)
    elsewhere = await done(client, str(tmp_path.resolve()), sessionId=session.id, name="n")
    gate.open()
    await over(client, first)
    assert await found(client, sessionId=session.id) == [elsewhere, first]
