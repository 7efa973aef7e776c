"""Background jobs in the scope of a console session: where they run, and what goes with the session."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.behaviour.conftest import Open
from tests.integration.clients import Client
from tests.integration.conftest import SETTINGS, Gate
from tests.integration.consoles import Console
from tests.integration.steps import ok, over, printed, refused, start, status
from tests.processes import new_mark
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASYNC = "console_execute_async"
CAP = SETTINGS["max_concurrent_jobs_per_session"]
SHELLS = ["bash", "sh"]


async def said_by(session: Console, command: str, **options: Any) -> str:
    """Return what a job in a session's scope prints."""
    job_id = await start(session.client, command, sessionId=session.id, **options)
    assert (await over(session.client, job_id))["exitCode"] == 0
    return await printed(session.client, job_id)


async def jobs_of(client: Client, session_id: str) -> list[str]:
    """Return the ids of a session's jobs."""
    listed = await ok(client, "console_list_jobs", options={"sessionId": session_id})
    return [each["id"] for each in listed["jobs"]]


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_job_runs_where_its_session_is_and_with_what_that_exports(
    console: Open, shell: str, tmp_path: Path
) -> None:
    place = tmp_path / "a place"
    place.mkdir()
    session = await console(shell, environment={"GIVEN": "at first", "CHANGED": "before"})
    assert (await said_by(session, "echo $GIVEN $CHANGED; pwd")).startswith("at first before\n")
    await session.run(f"cd '{place}'; export SAID='two\nlines' CHANGED=after; plain=hidden")
    await session.run("unset GIVEN")
    shown = await said_by(session, 'pwd; printf "%s\\n" "$SAID" "$CHANGED" "${GIVEN-}" "${plain-}"')
    assert shown == f"{place}\ntwo\nlines\nafter\n\n\n"


async def test_what_the_shell_uses_for_itself_is_nobodys(console: Open) -> None:
    session = await console("bash")
    await session.run("set -a; x=1")
    shown = await said_by(session, "env -u PS1")
    assert "x=1\n" in shown
    assert "__console" not in shown and "CONSOLE_AUTOMATION_REPORT" not in shown


async def test_what_was_typed_by_hand_counts_with_the_next_command(
    console: Open, tmp_path: Path
) -> None:
    session = await console("bash")
    await session.type(f"cd {tmp_path}; export SAID=typed")
    await session.idle()
    await session.run("true")
    assert await said_by(session, "pwd; echo $SAID") == f"{tmp_path}\ntyped\n"


async def test_what_the_job_asks_for_comes_before_what_the_session_has(
    console: Open, tmp_path: Path
) -> None:
    session = await console("sh")
    await session.run("export SAID=session OTHER=kept")
    options = {"workingDirectory": str(tmp_path), "environment": {"SAID": "job"}}
    assert await said_by(session, "pwd; echo $SAID $OTHER", **options) == f"{tmp_path}\njob kept\n"


async def test_a_job_in_a_programs_session_runs_with_what_that_was_opened_with(
    console: Open, tmp_path: Path
) -> None:
    session = await console("python3", ["-q"], cwd=str(tmp_path), environment={"SAID": "given"})
    assert await said_by(session, "pwd; echo $SAID") == f"{tmp_path}\ngiven\n"


async def test_a_program_is_looked_up_on_the_sessions_path(console: Open, tmp_path: Path) -> None:
    program = tmp_path / "only-in-the-session"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    session = await console("bash")
    await session.run(f"PATH=$PATH:{tmp_path}")
    assert await said_by(session, program.name) == "found\n"
    error = await refused(session.client, ASYNC, command=program.name)
    assert error["code"] == "COMMAND_NOT_FOUND"


async def test_jobs_of_a_session_are_listed_under_it_and_capped_among_themselves(
    console: Open, gate: Gate
) -> None:
    session, other = await console("sh"), await console("sh")
    jobs = [await start(session.client, gate.wait, sessionId=session.id) for _ in range(CAP + 1)]
    await start(other.client, "true", sessionId=other.id)
    assert await jobs_of(session.client, session.id) == jobs[::-1]

    async def live() -> int:
        found = [await status(session.client, job) for job in jobs]
        assert all(each["sessionId"] == session.id for each in found)
        return sum(each["status"] == "running" for each in found)

    async def full() -> bool:
        return await live() == CAP

    await until(full, "as many jobs as a session may run")
    assert await said_by(other, "echo not held back") == "not held back\n"
    assert await live() == CAP
    gate.open()
    for job in jobs:
        assert (await over(session.client, job))["status"] == "completed"


async def test_finished_jobs_go_with_their_session_and_running_ones_stay(
    console: Open, gate: Gate
) -> None:
    session = await console("sh")
    finished = await start(session.client, "true", sessionId=session.id)
    await over(session.client, finished)
    live = await start(session.client, gate.wait, sessionId=session.id)
    elsewhere = await start(session.client, "true")
    await over(session.client, elsewhere)
    await session.ok("console_stop_session")
    await session.closed()
    cleaned = await ok(session.client, "console_cleanup_sessions")
    assert session.id in cleaned["removed"]
    error = await refused(session.client, "console_get_job_status", jobId=finished)
    assert error["code"] == "JOB_NOT_FOUND"
    assert (await status(session.client, live))["status"] in ("pending", "running")
    assert (await status(session.client, elsewhere))["status"] == "completed"
    gate.open()
    assert (await over(session.client, live))["status"] == "completed"


async def test_a_closed_session_takes_no_further_jobs(console: Open) -> None:
    session = await console("sh")
    earlier = await start(session.client, "true", sessionId=session.id)
    await over(session.client, earlier)
    await session.ok("console_stop_session")
    await session.closed()
    arguments = {"command": "true", "options": {"sessionId": session.id}}
    error = await refused(session.client, ASYNC, **arguments)
    assert (error["code"], error["details"]["closing"]) == ("SESSION_CLOSED", "stopped")
    assert await jobs_of(session.client, session.id) == [earlier]


async def test_any_other_label_just_groups_jobs(client: Client) -> None:
    label = f"my label {new_mark()}"
    job_id = await start(client, "pwd", sessionId=label)
    assert (await over(client, job_id))["sessionId"] == label
    assert await jobs_of(client, label) == [job_id]
    error = await refused(client, "console_get_session_state", sessionId=label)
    assert error["code"] == "SESSION_NOT_FOUND"
