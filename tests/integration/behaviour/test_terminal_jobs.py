"""Jobs on a terminal: what the program sees, how it is typed to, and that it ends like any other job."""

import pytest

from tests.integration.clients import Client
from tests.integration.conftest import Gate
from tests.integration.steps import ok, over, printed, refused, running, start, status
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

USUAL = {"cols": 120, "rows": 32}


async def test_the_program_has_a_terminal_of_the_size_that_was_asked_for(client: Client) -> None:
    line = 'echo "$TERM ${COLUMNS-none}"; test -t 0 -a -t 1 -a -t 2 && stty size; echo err >&2'
    size = {"cols": 90, "rows": 11}
    job = await over(client, job_id := await start(client, line, terminal=size))
    assert (job["status"], job["terminal"]) == ("completed", size)
    assert await printed(client, job_id) == "xterm-256color none\n11 90\nerr\n"
    assert await printed(client, job_id, stream="stderr") == ""


async def test_without_a_size_it_is_the_usual_one(client: Client) -> None:
    job = await over(client, job_id := await start(client, "stty size", terminal={}))
    assert job["terminal"] == USUAL and await printed(client, job_id) == "32 120\n"
    assert "terminal" not in await over(client, await start(client, "true"))


@pytest.mark.parametrize("code", [0, 1, 42, 126, 127, 137, 139, 255])
async def test_exit_codes_are_the_programs_own(client: Client, code: int) -> None:
    job = await over(client, await start(client, f"exit {code}", terminal={}))
    assert job["exitCode"] == code


async def test_a_signal_is_told_from_a_code(client: Client) -> None:
    job = await over(client, await start(client, "kill -9 $$", terminal={}))
    assert (job["status"], job["exitCode"], job["signal"]) == ("failed", None, "SIGKILL")


async def test_it_is_typed_to_and_told_that_nothing_more_comes(client: Client) -> None:
    job_id = await start(client, "read -r a; echo got $a; cat > /dev/null; echo over", terminal={})
    await running(client, job_id)
    await ok(client, "console_send_job_input", jobId=job_id, input="one\n")

    async def answered() -> bool:
        return "got one" in await printed(client, job_id)

    await until(answered, "the answer")
    await ok(client, "console_send_job_input", jobId=job_id, input="", eof=True)
    assert (await over(client, job_id))["status"] == "completed"
    assert (await printed(client, job_id)).endswith("over\n")


async def test_ctrl_c_can_be_typed(client: Client) -> None:
    job_id = await start(
        client, "trap 'exit 9' INT; echo ready; while :; do sleep 0.01; done", terminal={}
    )

    async def ready() -> bool:
        return "ready" in await printed(client, job_id)

    await until(ready, "the trap")
    await ok(client, "console_send_job_input", jobId=job_id, input="\x03")
    assert (await over(client, job_id))["exitCode"] == 9


@pytest.mark.parametrize("option", [{"stdin": "text"}, {"mergeStderr": True}])
async def test_what_is_for_pipes_is_refused(client: Client, option: dict[str, object]) -> None:
    error = await refused(
        client, "console_execute_async", command="cat", options={"terminal": {}, **option}
    )
    assert error["code"] == "INVALID_ARGUMENT"
    assert error["details"]["field"] == f"options.{next(iter(option))}"


@pytest.mark.parametrize("size", [{"cols": 1}, {"rows": 301}, {"cols": "80"}, {"columns": 80}])
async def test_a_size_that_none_can_have_is_refused(
    client: Client, size: dict[str, object]
) -> None:
    options = {"terminal": size}
    error = await refused(client, "console_execute_async", command="cat", options=options)
    assert error["code"] == "INVALID_ARGUMENT"


async def test_it_is_cancelled_with_everything_it_started(client: Client, gate: Gate) -> None:
    line = "trap '' TERM HUP; (trap '' TERM HUP; exec setsid sleep 600) & echo $!; sleep 600"
    job_id = await start(client, line, terminal={})

    async def started() -> bool:
        return "\n" in await printed(client, job_id)

    await until(started, "the child")
    answer = await ok(client, "console_cancel_job", jobId=job_id, graceMs=50)
    assert answer["cancelled"]
    job = await over(client, job_id)
    assert (job["status"], job["exitCode"]) == ("cancelled", None)


async def test_a_shell_without_a_line_ends_when_it_is_cancelled(client: Client) -> None:
    job_id = await start(client, "sh", ["-i"], terminal={})
    await running(client, job_id)
    await ok(client, "console_cancel_job", jobId=job_id, graceMs=200)
    assert (await over(client, job_id))["status"] == "cancelled"


async def test_it_has_a_timeout_like_any_job(client: Client) -> None:
    job = await over(client, await start(client, "sleep 600", terminal={}, timeout=100))
    assert (job["status"], job["reason"]) == ("failed", "timeout")


async def test_it_is_run_again_on_a_terminal(client: Client) -> None:
    job_id = await start(client, "test -t 1", terminal={})
    await over(client, job_id)
    again = (await ok(client, "console_retry_job", jobId=job_id))["jobId"]
    job = await over(client, again)
    assert (job["status"], job["terminal"]) == ("completed", USUAL)
    assert (await status(client, job_id))["id"] == job_id
