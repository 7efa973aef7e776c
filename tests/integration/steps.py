"""What tests do with a client again and again: start, wait to the end, read all, expect refusals."""

from typing import Any

from tests.integration.clients import Answer, Client
from tests.waiting import until


async def ok(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool that is expected to do what it is asked, and return its result."""
    answer = await client.call(tool, arguments)
    assert not answer.is_error, answer.text
    return answer.structured


async def refused(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool that is expected to refuse, and return its error."""
    answer = await client.call(tool, arguments)
    assert answer.is_error, answer.text
    return answer.structured


async def in_time(client: Client, tool: str, **arguments: Any) -> Answer:
    """Have a tool run a command until it is done within the call: a busy machine may take longer."""

    async def attempt() -> Answer | None:
        answer = await client.call(tool, arguments)
        assert not answer.is_error, answer.text
        return None if answer.structured["status"] in ("pending", "running") else answer

    answer = await until(attempt, f"{arguments} in time")
    assert answer is not None
    return answer


async def start(client: Client, command: str, args: list[str] | None = None, **options: Any) -> str:
    """Start a background job and return its id."""
    arguments: dict[str, Any] = {"command": command, "options": options}
    if args is not None:
        arguments["args"] = args
    job_id: str = (await ok(client, "console_execute_async", **arguments))["jobId"]
    return job_id


async def status(client: Client, job_id: str) -> dict[str, Any]:
    """Return a job as it stands."""
    job: dict[str, Any] = (await ok(client, "console_get_job_status", jobId=job_id))["job"]
    return job


async def over(client: Client, job_id: str) -> dict[str, Any]:
    """Return a job once it is over."""

    async def ended() -> bool:
        return not (await ok(client, "console_wait_for_jobs", jobIds=[job_id]))["unfinished"]

    await until(ended, f"the end of {job_id}")
    return await status(client, job_id)


async def running(client: Client, job_id: str) -> dict[str, Any]:
    """Return a job once its command has been spawned."""

    async def spawned() -> dict[str, Any] | None:
        job = await status(client, job_id)
        return job if "pid" in job else None

    found = await until(spawned, f"the start of {job_id}")
    assert found is not None
    return found


async def pages(client: Client, job_id: str, **options: Any) -> list[dict[str, Any]]:
    """Return the pages of a job's output from the start to where it ends now."""
    found: list[dict[str, Any]] = []
    more, cursor = True, 0
    while more:
        asked = {**options, "since": cursor}
        found.append(await ok(client, "console_get_job_output", jobId=job_id, options=asked))
        more, cursor = found[-1]["hasMore"], found[-1]["nextSince"]
    return found


def text_of(*read: dict[str, Any]) -> str:
    """Return what pages of output say."""
    return "".join(chunk["content"] for page in read for chunk in page["output"])


async def printed(client: Client, job_id: str, **options: Any) -> str:
    """Return all that a job has printed so far."""
    return text_of(*await pages(client, job_id, **options))
