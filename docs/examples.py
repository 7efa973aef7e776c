"""The examples of the tools' page: answers of the product itself, kept in examples.json.

The story below is played on real shims and a real database. What differs from one time to the next
(ids, times, durations) is left out of account when it is compared with the one that is kept.
"""

import asyncio
import contextlib
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from console_automation.adapters.memory_bus import MemoryBus, MemoryCluster
from console_automation.adapters.state_directory import StateDirectory
from console_automation.app import App, build_engine, open_app
from console_automation.config import Settings
from console_automation.core.cluster_job import Holder
from console_automation.frontends.worker.service import WorkerService
from console_automation.operations.operation import Answer
from console_automation.operations.table import OPERATIONS

KEPT = Path(__file__).with_name("examples.json")


class Step(NamedTuple):
    """A call. `@name` in its arguments stands for the job, run or session that the call of it started.

    It is repeated until `until` holds of its result. One that is not told only waits for that.
    """

    tool: str
    arguments: Mapping[str, Any]
    name: str = ""
    until: Callable[[Mapping[str, Any]], bool] = lambda view: True
    told: bool = True


#: What is called, in order; the story goes on when a job's command runs. What still runs prints
#: nothing, so that every answer can be foretold.
JOBS = (
    Step("console_execute_command", {"command": "echo hello; exit 3"}, "failed"),
    Step(
        "console_execute_async",
        {
            "command": "sleep 600",
            "options": {"name": "long", "timeout": 3_600_000, "tags": {"for": "the docs"}},
        },
        "long",
    ),
    Step("console_get_job_status", {"jobId": "@failed"}),
    Step("console_get_job_output", {"jobId": "@failed", "options": {"tail": 5}}),
    Step("console_wait_for_jobs", {"jobIds": ["@failed", "@long"], "mode": "any"}),
    Step("console_cancel_job", {"jobId": "@long", "graceMs": 2000}),
    Step("console_retry_job", {"jobId": "@long"}, "again"),
    Step("console_cancel_job", {"jobId": "@again"}),
    Step("console_execute_async", {"command": "cat", "options": {"keepStdin": True}}, "fed"),
    Step("console_send_job_input", {"jobId": "@fed", "input": "one line\n", "eof": True}),
    Step("console_wait_for_jobs", {"jobIds": ["@fed"]}),
    Step("console_list_jobs", {"options": {"limit": 2}}),
    Step("console_get_job_metrics", {}),
    Step("console_cleanup_jobs", {"options": {"maxAge": 0, "keepCount": 1}}),
)

#: The same with a definition.
DEFINITIONS = (
    Step(
        "console_register_job",
        {
            "name": "count-lines",
            "description": "Count the lines of a file.",
            "command": 'printf \'{"lines": %s}\' "$(wc -l < "$FILE")" > "$CONSOLE_AUTOMATION_RESULT"',
            "environment": {"FILE": "{file}"},
            "inputSchema": {"properties": {"file": {"type": "string"}}, "required": ["file"]},
            "outputSchema": {"properties": {"lines": {"type": "integer"}}, "required": ["lines"]},
            "tags": ["text"],
        },
    ),
    Step("console_list_job_definitions", {"tags": ["text"]}),
    Step("console_execute_job", {"name": "count-lines", "input": {"file": "/dev/null"}}, "counted"),
    Step("console_get_job_result", {"jobId": "@counted"}),
    Step("console_remove_job", {"name": "count-lines"}),
)

#: The same with a workflow.
WORKFLOWS = (
    Step("console_register_job", {"name": "say", "command": "cat"}, told=False),
    Step(
        "console_register_workflow",
        {
            "name": "greet",
            "description": "Say hello, and good-bye if asked to.",
            "steps": [
                {"id": "hello", "job": "say"},
                {
                    "id": "goodbye",
                    "job": "say",
                    "dependsOn": ["hello"],
                    "condition": "input.polite == true",
                },
            ],
        },
    ),
    Step(
        "console_execute_workflow",
        {"name": "greet", "input": {"polite": False}, "waitMs": 20_000},
        "greeted",
    ),
    Step("console_get_workflow_status", {"runId": "@greeted"}),
    Step("console_cancel_workflow", {"runId": "@greeted"}),
    Step("console_list_workflows", {"limit": 1}),
    Step("console_remove_workflow", {"name": "greet"}),
    Step("console_remove_job", {"name": "say"}, told=False),
)

_IN = {"sessionId": "@docs"}

#: The same with a session. Its shell is sh, whose prompt no file of the machine changes.
SESSION = (
    Step(
        "console_create_session",
        {
            "command": "sh",
            "options": {
                "name": "docs",
                "cwd": "/tmp",
                "environment": {"HOME": "/nonexistent", "PS1": "$ "},
                "cols": 60,
                "rows": 12,
            },
        },
        "docs",
    ),
    Step("console_execute_command", {**_IN, "command": "cd /; unit=cm; false"}),
    Step("console_execute_command", {**_IN, "command": 'echo "$PWD $unit $?"'}),
    Step("console_get_screen", _IN, until=lambda v: v["screen"].endswith("$"), told=False),
    Step(
        "console_send_input",
        {**_IN, "input": "clear; echo 'Say something.'; cat", "enter": True},
    ),
    Step("console_wait_for_output", {**_IN, "pattern": "^Say (\\w+)\\.$"}),
    Step("console_send_input", {**_IN, "input": "something", "enter": True}),
    Step("console_wait_for_output", {**_IN, "pattern": "^something$"}),
    Step("console_get_session_state", _IN, until=lambda v: v["state"] == "waiting_for_input"),
    Step("console_get_screen", _IN, until=lambda v: v["cursor"]["row"] == 3),
    Step("console_send_key", {**_IN, "key": "ctrl+d"}),
    Step("console_wait_for_output", {**_IN, "pattern": "^\\$ $"}),
    Step("console_get_output", {**_IN, "options": {"grep": "^something"}}),
    Step("console_resize_session", {**_IN, "cols": 100, "rows": 30}),
    Step("console_list_sessions", {}),
    Step("console_get_command_history", _IN),
    Step("console_stop_session", _IN),
    Step("console_cleanup_sessions", {}),
)


#: The same with a schedule, whose command is run now and not in the night.
SCHEDULE = (
    Step(
        "console_create_schedule",
        {
            "name": "nightly",
            "command": "echo 42 orders",
            "trigger": {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
            "options": {"timeout": 600_000, "retry": {"maxAttempts": 3}},
            "metadata": {"recipients": ["team"]},
        },
    ),
    Step("console_trigger_schedule", {"scheduleId": "nightly"}, "report"),
    Step(
        "console_get_schedule",
        {"scheduleId": "nightly"},
        until=lambda v: v["history"][0].get("status") == "completed",
    ),
    Step(
        "console_update_schedule",
        {"scheduleId": "nightly", "trigger": {"everyMs": 3_600_000}, "metadata": {"dry": True}},
    ),
    Step("console_list_schedules", {}),
    Step("console_delete_schedule", {"scheduleId": "nightly"}),
)


#: The same with a cluster.
CLUSTER = (
    Step(
        "console_list_workers",
        {},
        until=lambda view: [each["status"] for each in view["workers"]] == ["live"],
    ),
    Step(
        "console_execute_async",
        {"command": "true", "options": {"target": "_any", "waitMs": 20_000}},
        "there",
        told=False,
    ),
    Step(
        "console_get_job_counts", {}, until=lambda view: view["cluster"]["jobs"]["completed"] == 1
    ),
    Step("console_forget_job", {"jobId": "@there"}),
    Step("console_drain_worker", {"host": "build-1"}, until=lambda view: view["drained"]),
)


async def play() -> list[dict[str, Any]]:
    """Play the story on a state directory of its own and return what was called and answered."""
    calm = Settings(max_load_per_cpu=0, max_memory_percent=0)
    with tempfile.TemporaryDirectory(prefix="ca-", dir="/tmp") as home, contextlib.chdir("/tmp"):
        async with open_app(home, calm) as app:
            story = (*JOBS, *DEFINITIONS, *WORKFLOWS, *SESSION, *SCHEDULE)
            return [*await _play(app, story), *await _play_in_cluster(calm)]


async def _play_in_cluster(calm: Settings) -> list[dict[str, Any]]:
    """Play the story of the workers on a cluster of one machine, whose bus is in this process."""
    settings = replace(calm, nats_url="nats://here", cluster_key="known to every reader")
    with tempfile.TemporaryDirectory(prefix="ca-", dir="/tmp") as home:
        directory = StateDirectory(Path(home))
        directory.acquire()
        engine = build_engine(directory, settings, bus=MemoryBus(MemoryCluster()))
        await engine.open()
        assert engine.cluster is not None
        me = Holder(host="build-1", instance=directory.instance())
        labels = {"group": "build.linux"}
        worker = WorkerService(engine, engine.cluster, me=me, labels=labels)
        worker.open()
        try:
            return await _play(App(engine), CLUSTER)
        finally:
            await worker.close()
            await engine.close()
            directory.release()


async def _play(app: App, steps: Iterable[Step]) -> list[dict[str, Any]]:
    played: list[dict[str, Any]] = []
    started: dict[str, str] = {}
    for step in steps:
        arguments = _filled(step.arguments, started)
        of_session = OPERATIONS[step.tool].toolset == "sessions" or "sessionId" in arguments
        of_job = OPERATIONS[step.tool].toolset in ("jobs", "schedules") and not of_session
        if "command" in arguments and of_job:
            arguments.setdefault("options", {})["workingDirectory"] = "/tmp"
        answer = await _answer(app, step, arguments)
        if step.name:
            started[step.name] = _id_of(answer.view, of_session=of_session)
        if started.get(step.name, "").startswith("job-"):
            await _begun(app, started[step.name])
        if not step.told:
            continue
        shown = {(each["tool"], each["session"]) for each in played if each["shown"]}
        played.append(
            {
                "tool": step.tool,
                "session": of_session,
                "shown": (step.tool, of_session) not in shown,
                "arguments": arguments,
                "text": answer.text,
                "result": answer.view,
            }
        )
    return json.loads(json.dumps(played))  # type: ignore[no-any-return]


def _id_of(view: Mapping[str, Any], *, of_session: bool) -> str:
    if "run" in view:
        return str(view["run"]["runId"])
    return str(view["sessionId" if of_session else "jobId"])


async def _answer(app: App, step: Step, arguments: Mapping[str, Any]) -> Answer:
    while True:
        answer = await app.call(step.tool, **arguments)
        if answer.is_error:
            raise RuntimeError(f"{step.tool}: {answer.text}")
        if step.until(answer.view):
            return answer
        await asyncio.sleep(0.01)


def _filled(value: Any, started: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(each, started) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, started) for each in value]
    return started[value[1:]] if isinstance(value, str) and value.startswith("@") else value


async def _begun(app: App, job_id: str) -> None:
    """Return when the job's command has been spawned."""
    while True:
        job = await app.get_background_job_status(job_id)
        if job["status"] not in ("pending", "running") or "pid" in job:
            return
        await asyncio.sleep(0.01)


_VOLATILE = frozenset(
    {
        *("durationMs", "lastHeardMs", "cpuSeconds", "maxRssBytes", "systemLoad"),
        *("averageExecutionTime", "p50", "p95"),
    }
)
#: In how many pieces a terminal's output is read, and how it is numbered, is up to the moment.
_OF_THE_MOMENT = frozenset(
    {"since", "until", "nextSince", "chunks", "lastSequence", "sequenceNumber", "bytes"}
)
_PASSING = (
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<time>"),
    (re.compile(r"\b\d+(\.\d+)? m?s\b"), "<duration>"),
    (re.compile(r"\bsince=\d+"), "<since>"),
    (re.compile(r"^python:\d+$"), "<client>"),
    (re.compile(r"^\d+ chunks?(?=; all so far, it is open)"), "<chunks>"),
)
_IDS = re.compile(r"\b(job|session|schedule|workflow)-\w{26}\b|\b[0-9a-f]{16}\b")


def settled(played: Any) -> Any:
    """Return a story without what differs from one time to the next: ids, times, durations."""
    ids: dict[str, str] = {}

    def of(value: Any, key: str = "", *, session: bool = False) -> Any:
        if (key in _VOLATILE or (session and key in _OF_THE_MOMENT)) and value is not None:
            return 0
        if isinstance(value, dict):
            inside = session or value.get("session") is True
            shown = {name: each for name, each in value.items() if name != "pid"}
            return {name: of(each, name, session=inside) for name, each in shown.items()}
        if isinstance(value, list):
            if session and value and "sequenceNumber" in value[0]:
                return of("".join(each["content"] for each in value), session=True)
            return [of(each, session=session) for each in value]
        if isinstance(value, str):
            text = _IDS.sub(
                lambda m: ids.setdefault(m[0], f"{m[1] or 'command'}-{len(ids)}"), value
            )
            for pattern, word in _PASSING:
                text = pattern.sub(word, text)
            # The prompt may come a moment later than the news that the shell is at it.
            return text.removesuffix("(no output)").rstrip("$ \n") if session else text
        return value

    return of(played)


def kept() -> list[dict[str, Any]]:
    """Return the examples as they were recorded last."""
    return json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else []


def record() -> bool:
    """Play the story and keep it if the product answers differently now; say whether it did."""
    played = asyncio.run(play())
    if settled(played) == settled(kept()):
        return False
    KEPT.write_text(json.dumps(played, indent=1) + "\n", "utf-8")
    return True
