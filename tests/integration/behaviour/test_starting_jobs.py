"""console_execute_async: what a command means, and every option of a background job."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.integration.clients import Client
from tests.integration.conftest import Gate
from tests.integration.steps import in_time, ok, over, printed, refused, running, start, status
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_job_is_acknowledged_at_once_and_goes_on_by_itself(
    client: Client, gate: Gate
) -> None:
    answer = await client.call("console_execute_async", {"command": f"{gate.wait}; exit 7"})
    job_id = answer.structured["jobId"]
    assert answer.structured["job"]["id"] == job_id
    assert answer.structured["status"] in ("pending", "running")
    assert "output" not in answer.structured
    assert job_id in answer.text and "console_wait_for_jobs" in answer.text
    gate.open()
    job = await over(client, job_id)
    assert (job["status"], job["reason"], job["exitCode"]) == ("failed", "exit_code", 7)
    assert job["startedAt"] >= job["createdAt"] and job["completedAt"] >= job["startedAt"]


async def test_with_wait_ms_a_short_job_comes_back_finished_with_its_output(client: Client) -> None:
    command, options = "echo one; echo two", {"waitMs": 45_000}
    answer = await in_time(client, "console_execute_async", command=command, options=options)
    result = answer.structured
    assert result["job"]["exitCode"] == 0
    assert "".join(chunk["content"] for chunk in result["output"]) == "one\ntwo\n"
    assert "one\ntwo\n" in answer.text and "exit code 0" in answer.text


async def test_arguments_reach_the_program_literally(client: Client) -> None:
    args = ["[%s]\n", "$HOME", "a b", "*", "", "; exit 1", "ü"]
    job = await over(client, job_id := await start(client, "printf", args))
    assert await printed(client, job_id) == "[$HOME]\n[a b]\n[*]\n[]\n[; exit 1]\n[ü]\n"
    assert job["args"] == args and job["shell"] is False


@pytest.mark.parametrize(
    ("command", "options", "shell", "exit_code"),
    [
        ("true", {}, False, 0),
        ("true && exit 4", {}, True, 4),
        ("exit", {"shell": True}, True, 0),
        ("/bin/false", {"shell": False}, False, 1),
    ],
)
async def test_a_shell_reads_the_line_when_it_needs_one_or_is_told_to(
    client: Client, command: str, options: dict[str, Any], shell: bool, exit_code: int
) -> None:
    job = await over(client, await start(client, command, **options))
    assert (job["shell"], job["exitCode"]) == (shell, exit_code)


async def test_directory_and_environment_are_as_asked(client: Client, tmp_path: Path) -> None:
    job_id = await start(
        client,
        'pwd; echo "$COLOUR"; echo "$HOME"',
        workingDirectory=str(tmp_path),
        environment={"COLOUR": "deep blue"},
    )
    job = await over(client, job_id)
    home = os.environ["HOME"]
    assert await printed(client, job_id) == f"{tmp_path}\ndeep blue\n{home}\n"
    assert job["workingDirectory"] == str(tmp_path)


async def test_stdin_is_the_given_text_or_at_its_end(client: Client) -> None:
    fed = await start(client, "cat", stdin="line one\nline two")
    starved = await start(client, "cat")
    await over(client, fed)
    assert await printed(client, fed) == "line one\nline two"
    assert (await over(client, starved))["exitCode"] == 0


async def test_stderr_is_told_apart_unless_it_is_merged(client: Client) -> None:
    command = "echo out; echo err >&2"
    apart, merged = await start(client, command), await start(client, command, mergeStderr=True)
    await over(client, apart)
    await over(client, merged)
    assert await printed(client, apart, stream="stderr") == "err\n"
    assert await printed(client, merged, stream="stderr") == ""
    assert await printed(client, merged) == "out\nerr\n"


@pytest.mark.parametrize(
    ("options", "command", "reason", "say"),
    [
        ({"timeout": 50}, "sleep 600", "timeout", "timeout of 50 ms"),
        ({"idleTimeout": 50}, "echo up; sleep 600", "idle_timeout", "silent"),
        (
            {"outputLimitBytes": 65_536, "onOutputLimit": "kill"},
            "yes",
            "output_limit",
            "more than its limit",
        ),
    ],
)
async def test_a_limit_ends_the_job_and_is_named_as_the_reason(
    client: Client, options: dict[str, Any], command: str, reason: str, say: str
) -> None:
    job_id = await start(client, command, **options)
    job = await over(client, job_id)
    assert (job["status"], job["reason"], job["exitCode"]) == ("failed", reason, None)
    assert job["signal"] in ("SIGTERM", "SIGKILL")
    assert say in (await client.call("console_get_job_status", {"jobId": job_id})).text


async def test_the_default_timeout_is_five_minutes_and_zero_means_never(
    client: Client, gate: Gate
) -> None:
    usual = await status(client, await start(client, gate.wait))
    endless = await status(client, await start(client, gate.wait, timeout=0))
    gate.open()
    assert (usual["timeout"], endless["timeout"]) == (300_000, 0)


@pytest.mark.parametrize(("policy", "kept"), [("drop_oldest", "last"), ("drop_newest", "first")])
async def test_a_full_output_drops_what_it_was_told_to(
    client: Client, policy: str, kept: str
) -> None:
    command = "echo first; yes filler | head -c 400000; echo last"
    job_id = await start(client, command, outputLimitBytes=65_536, onOutputLimit=policy)
    job = await over(client, job_id)
    assert (job["status"], job["output"]["bytes"]) == ("completed", 400_011)
    text = await printed(client, job_id)
    assert job["output"]["droppedBytes"] == 400_011 - len(text) > 0
    assert kept in text


async def test_what_outlives_the_command_is_named_and_ended_or_left(client: Client) -> None:
    is_asleep = "[ \"$(tr '\\0' ' ' < /proc/$!/cmdline)\" = 'sleep 600 ' ]"
    command = f"sleep 600 & until {is_asleep}; do :; done; echo $!"
    ended, left = await start(client, command), await start(client, command, leftovers="leave")
    for job_id, gone in ((ended, True), (left, False)):
        job = await over(client, job_id)
        pid = int(await printed(client, job_id))
        assert job["leftovers"] == [{"pid": pid, "command": "sleep 600", "ended": gone}]
        assert os.path.exists(f"/proc/{pid}") is not gone
        text = (await client.call("console_get_job_status", {"jobId": job_id})).text
        assert ("ended too" if gone else "1 still alive") in text
    os.kill(pid, 9)


async def test_a_failing_command_is_repeated_until_it_succeeds(
    client: Client, tmp_path: Path
) -> None:
    tries = tmp_path / "tries"
    job_id = await start(
        client,
        f"echo x >> {tries}; [ $(wc -l < {tries}) -eq 3 ]",
        retry={"maxAttempts": 5, "backoffMs": 1, "backoffMultiplier": 1.5, "maxBackoffMs": 5},
    )
    job = await over(client, job_id)
    assert (job["status"], job["attempt"], job["maxAttempts"]) == ("completed", 3, 5)
    assert tries.read_text() == "x\n" * 3


async def test_only_the_reasons_asked_for_are_repeated(client: Client) -> None:
    policy = {"maxAttempts": 3, "backoffMs": 1, "on": ["timeout"]}
    job = await over(client, await start(client, "exit 1", retry=policy))
    assert (job["status"], job["attempt"]) == ("failed", 1)


async def test_a_job_starts_after_those_it_depends_on(
    client: Client, gate: Gate, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    first = await start(client, f"{gate.wait}; echo first >> {log}")
    second = await start(client, f"echo second >> {log}", dependsOn=[first])
    job = await status(client, second)
    assert (job["status"], job["dependsOn"]) == ("pending", [first])
    assert job["waitingFor"] == f"waits for {first}"
    gate.open()
    assert (await over(client, second))["status"] == "completed"
    assert log.read_text() == "first\nsecond\n"


async def test_a_job_whose_dependency_fails_never_runs(client: Client, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    failing = await start(client, "exit 1")
    job = await over(client, await start(client, f"touch {mark}", dependsOn=[failing]))
    assert (job["status"], job["reason"], job["exitCode"]) == ("failed", "dependency", None)
    assert failing in job["error"]
    assert not mark.exists()


async def test_the_same_key_and_request_return_the_first_job(client: Client, gate: Gate) -> None:
    key = f"key-{os.urandom(8).hex()}"
    first = await start(client, gate.wait, idempotencyKey=key)
    assert await start(client, gate.wait, idempotencyKey=key, waitMs=1) == first
    gate.open()
    await over(client, first)
    assert await start(client, gate.wait, idempotencyKey=key) == first
    other = {"command": "true && true", "options": {"idempotencyKey": key}}
    error = await refused(client, "console_execute_async", **other)
    assert (error["code"], error["details"]["jobId"]) == ("CONFLICT", first)


async def test_a_job_carries_its_name_tags_session_and_priority(client: Client) -> None:
    given = {"name": "nightly", "tags": {"team": "core"}, "sessionId": "s-1", "priority": 9}
    job = await over(client, await start(client, "true", **given))
    assert {name: job[name] for name in given} == given


async def test_a_session_at_its_cap_runs_the_higher_priority_first(
    client: Client, tmp_path: Path
) -> None:
    session = f"s-{os.urandom(4).hex()}"
    log = tmp_path / "log"
    gates = [Gate(tmp_path / f"gate-{number}") for number in range(3)]
    holding = [await start(client, each.wait, sessionId=session) for each in gates]
    for job_id in holding:
        await running(client, job_id)
    waiting = [
        await start(client, f"echo {priority} >> {log}", sessionId=session, priority=priority)
        for priority in (1, 10, 5)
    ]
    job = await status(client, waiting[0])
    assert job["status"] == "pending" and job["queuePosition"] == 3
    assert job["waitingFor"] == f"session '{session}' runs 3 jobs already, as many as it may"
    gates[0].open()
    for job_id in waiting:
        await over(client, job_id)
    assert log.read_text() == "10\n5\n1\n"
    for each in gates:
        each.open()
    for job_id in holding:
        await over(client, job_id)


@pytest.mark.parametrize(
    ("command", "status", "reason", "code", "signal"),
    [
        ("exit 0", "completed", None, 0, None),
        ("exit 255", "failed", "exit_code", 255, None),
        ("no-such-program-at-all; exit $?", "failed", "exit_code", 127, None),
        ("kill -KILL $$", "failed", "signal", None, "SIGKILL"),
        ("kill -USR1 $$", "failed", "signal", None, "SIGUSR1"),
    ],
)
async def test_exit_codes_and_signals_are_told_apart(
    client: Client,
    command: str,
    status: str,
    reason: str | None,
    code: int | None,
    signal: str | None,
) -> None:
    job = await over(client, await start(client, command))
    assert (job["status"], job.get("reason")) == (status, reason)
    assert (job["exitCode"], job.get("signal")) == (code, signal)


async def test_what_only_exec_can_find_out_is_told_as_the_jobs_end(
    client: Client, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    job = await over(client, await start(client, str(script)))
    assert (job["status"], job["reason"], job["exitCode"]) == ("failed", "spawn_error", None)
    assert "ENOENT" in job["error"]


async def test_a_job_with_kept_stdin_is_fed_while_it_runs(client: Client) -> None:
    job_id = await start(client, "cat", keepStdin=True)
    await running(client, job_id)
    taken = await ok(client, "console_send_job_input", jobId=job_id, input="früh\n")
    assert taken["bytesAccepted"] == 6

    async def echoed() -> bool:
        return await printed(client, job_id) == "früh\n"

    await until(echoed, "the echo")
    await ok(client, "console_send_job_input", jobId=job_id, input="end", eof=True)
    assert (await over(client, job_id))["exitCode"] == 0
    assert await printed(client, job_id) == "früh\nend"
