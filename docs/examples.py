"""The examples of the tools' page: answers of the product itself, kept in examples.json.

The story below is played on real shims and a real database. What differs from one time to the next
(ids, times, durations) is left out of account when it is compared with the one that is kept.
"""

import asyncio
import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from console_automation.app import App, open_app
from console_automation.config import Settings

KEPT = Path(__file__).with_name("examples.json")

#: What is called, in order. `@name` stands for the job that the call of that name started; the story
#: goes on when its command runs. What still runs prints nothing, so that every answer can be foretold.
STORY: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("failed", "console_execute_command", {"command": "echo hello; exit 3"}),
    (
        "long",
        "console_execute_async",
        {
            "command": "sleep 600",
            "options": {"name": "long", "timeout": 3_600_000, "tags": {"for": "the docs"}},
        },
    ),
    ("", "console_get_job_status", {"jobId": "@failed"}),
    ("", "console_get_job_output", {"jobId": "@failed", "options": {"tail": 5}}),
    ("", "console_wait_for_jobs", {"jobIds": ["@failed", "@long"], "mode": "any"}),
    ("", "console_cancel_job", {"jobId": "@long", "graceMs": 2000}),
    ("again", "console_retry_job", {"jobId": "@long"}),
    ("", "console_cancel_job", {"jobId": "@again"}),
    ("fed", "console_execute_async", {"command": "cat", "options": {"keepStdin": True}}),
    ("", "console_send_job_input", {"jobId": "@fed", "input": "one line\n", "eof": True}),
    ("", "console_wait_for_jobs", {"jobIds": ["@fed"]}),
    ("", "console_list_jobs", {"options": {"limit": 2}}),
    ("", "console_get_job_metrics", {}),
    ("", "console_cleanup_jobs", {"options": {"maxAge": 0, "keepCount": 1}}),
)


async def play() -> list[dict[str, Any]]:
    """Play the story on a state directory of its own and return what was called and answered."""
    calm = Settings(max_load_per_cpu=0, max_memory_percent=0)
    with tempfile.TemporaryDirectory(prefix="ca-", dir="/tmp") as home:
        async with open_app(home, calm) as app:
            return await _play(app)


async def _play(app: App) -> list[dict[str, Any]]:
    played: list[dict[str, Any]] = []
    started: dict[str, str] = {}
    for name, tool, wanted in STORY:
        arguments = _filled(wanted, started)
        if "command" in arguments:
            arguments.setdefault("options", {})["workingDirectory"] = "/tmp"
        answer = await app.call(tool, **arguments)
        if answer.is_error:
            raise RuntimeError(f"{tool}: {answer.text}")
        if name:
            started[name] = str(answer.view["jobId"])
            await _begun(app, started[name])
        is_first = tool not in {each["tool"] for each in played}
        played.append(
            {
                "tool": tool,
                "shown": is_first,
                "arguments": arguments,
                "text": answer.text,
                "result": answer.view,
            }
        )
    return json.loads(json.dumps(played))  # type: ignore[no-any-return]


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
    {"durationMs", "cpuSeconds", "maxRssBytes", "systemLoad", "averageExecutionTime", "p50", "p95"}
)
_PASSING = (
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<time>"),
    (re.compile(r"\b\d+(\.\d+)? m?s\b"), "<duration>"),
)


def settled(played: Any) -> Any:
    """Return a story without what differs from one time to the next: ids, times, durations."""
    ids: dict[str, str] = {}

    def of(value: Any, key: str = "") -> Any:
        if key in _VOLATILE and value is not None:
            return 0
        if isinstance(value, dict):
            return {name: of(each, name) for name, each in value.items() if name != "pid"}
        if isinstance(value, list):
            return [of(each) for each in value]
        if isinstance(value, str):
            text = re.sub(r"job-\w{26}", lambda m: ids.setdefault(m[0], f"job-{len(ids)}"), value)
            for pattern, word in _PASSING:
                text = pattern.sub(word, text)
            return text
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
