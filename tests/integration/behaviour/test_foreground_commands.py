"""console_execute_command: a command in the foreground, which turns into a job when time is up."""

from pathlib import Path

import pytest

from tests.integration.clients import Client
from tests.integration.conftest import Gate
from tests.integration.steps import in_time, ok, over, printed, status, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMMAND = "console_execute_command"


@pytest.mark.parametrize(("command", "code"), [("true", 0), ("exit 42", 42), ("kill -9 $$", None)])
async def test_the_end_of_a_command_is_told(client: Client, command: str, code: int | None) -> None:
    result = (await in_time(client, COMMAND, command=command)).structured
    assert result["exitCode"] == code
    assert result["status"] == ("completed" if code == 0 else "failed")
    assert result.get("signal") == ("SIGKILL" if code is None else None)
    assert result["durationMs"] >= 0


async def test_arguments_stdin_directory_and_environment_are_as_asked(
    client: Client, tmp_path: Path
) -> None:
    options = {"workingDirectory": str(tmp_path), "environment": {"A": "b c"}, "stdin": "fed\n"}
    command = 'pwd; echo "$A"; cat'
    result = (await in_time(client, COMMAND, command=command, options=options)).structured
    assert result["output"] == f"{tmp_path}\nb c\nfed\n"
    result = (
        await in_time(client, COMMAND, command="printf", args=["%s.", "a b", "$HOME"])
    ).structured
    assert result["output"] == "a b.$HOME."
    result = (await in_time(client, COMMAND, command="exit", options={"shell": True})).structured
    assert result["exitCode"] == 0


async def test_a_command_that_takes_too_long_goes_on_as_a_job(client: Client, gate: Gate) -> None:
    command = f"echo before; {gate.wait}; echo after; exit 5"
    answer = await client.call(COMMAND, {"command": command, "options": {"timeout": 300}})
    result = answer.structured
    assert (result["status"], result["exitCode"]) == ("running", None)
    job_id = result["jobId"]
    assert f"background job {job_id} which is ended 5 min 0 s after its start" in answer.text
    gate.open()
    assert (await over(client, job_id))["exitCode"] == 5
    rest = {"jobId": job_id, "options": {"since": result["nextSince"]}}
    assert result["output"] + text_of(await ok(client, "console_get_job_output", **rest)) == (
        "before\nafter\n"
    )


async def test_it_is_ended_instead_when_that_is_wanted(client: Client) -> None:
    options = {"timeout": 50, "killOnTimeout": True}
    command = "trap '' TERM; echo up; while :; do sleep 0.1; done"
    answer = await client.call(COMMAND, {"command": command, "options": options})
    ended = answer.structured
    assert (ended["status"], ended["reason"], ended["signal"]) == ("failed", "timeout", "SIGKILL")
    assert answer.text.startswith("failed (timeout, SIGKILL)")


async def test_what_it_left_in_the_background_is_told_with_its_fate(client: Client) -> None:
    is_asleep = "[ \"$(tr '\\0' ' ' < /proc/$!/cmdline)\" = 'sleep 600 ' ]"
    command = f"sleep 600 & until {is_asleep}; do :; done"
    answer = await in_time(client, COMMAND, command=command)
    [left] = answer.structured["leftovers"]
    assert "sleep 600" in left["command"] and left["ended"]
    assert "it left 1 background process behind (ended too); start what is to stay" in answer.text


async def test_of_a_long_output_the_end_is_shown_and_the_rest_can_be_read(client: Client) -> None:
    answer = await in_time(client, COMMAND, command="seq 1 30000")
    result = answer.structured
    whole = "".join(f"{number}\n" for number in range(1, 30_001))
    assert whole.endswith(result["output"]) and result["output"].endswith("30000\n")
    assert result["omittedBytes"] == len(whole) - len(result["output"]) > 0
    assert len(answer.text) < 2500 and answer.text.endswith("30000\n")
    assert await printed(client, result["jobId"]) == whole


async def test_it_is_a_job_like_any_other(client: Client) -> None:
    result = (await in_time(client, COMMAND, command="true")).structured
    job = await status(client, result["jobId"])
    assert (job["command"], job["status"]) == ("true", "completed")
