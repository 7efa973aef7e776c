"""A shell's prompt counts although those who pass it on are slow, as on a busy machine."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from console_automation.app import App
from console_automation.engine import executions
from console_automation.operations import sessions
from console_automation.ports.machine import Foreground
from tests.integration.live_shell import HERE, PROGRAMS, completed
from tests.processes import new_mark
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells that a program waits for input"
)


class Late:
    """A line for a shell that stops its shim, once `gate` is there; the shim goes on when it has been seen
    that the shell waits for input."""

    def __init__(self, app: App, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate = directory / "gate"
        self.line = f"while [ ! -e {self.gate} ]; do sleep 0.01; done; kill -STOP $PPID"
        self.is_seen = False
        self._look = app.engine.processes.foreground
        monkeypatch.setattr(app.engine.processes, "foreground", self.foreground)

    def foreground(self, pid: int) -> Foreground | None:
        front = self._look(pid)
        if self.gate.exists() and front and front.pid == pid and front.is_waiting:
            self.is_seen = True
            os.kill(psutil.Process(pid).ppid(), signal.SIGCONT)
        return front


@pytest.fixture
def late(app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Late:
    return Late(app, tmp_path, monkeypatch)


async def test_a_new_shell_at_a_prompt_that_is_not_passed_on_yet_is_ready(
    app: App, late: Late, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_ANSWER_SECONDS", 0.05)
    (tmp_path / ".bashrc").write_text(f"{late.line}\n")
    options = {"environment": {"HOME": str(tmp_path)}}
    opening = asyncio.create_task(
        app.call("console_create_session", command="bash", options=options)
    )
    await until(lambda: [each for each in app.engine.consoles.live if each.pid])
    late.gate.touch()
    made = await asyncio.wait_for(opening, PATIENCE)
    assert late.is_seen
    assert made.view["ready"] is True


@pytest.mark.parametrize("kind", HERE)
async def test_an_interrupt_while_a_command_is_typed_leaves_a_shell_that_takes_the_next(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for patience in ("_UNHEARD_SECONDS", "_PROMPT_SECONDS"):
        monkeypatch.setattr(executions, patience, 0.2)
    completed(tmp_path)
    environment = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    made = await app.call(
        "console_create_session", command=PROGRAMS[kind], options={"environment": environment}
    )
    asked = {"sessionId": made.view["sessionId"]}

    async def state() -> str:
        return str((await app.call("console_get_session_state", **asked)).view["state"])

    async def is_idle() -> bool:
        return await state() == "idle"

    for pause in (0.0, 0.002, 0.004, 0.008, 0.016):
        await until(is_idle, f"the prompt, of a shell that shows {await shown(app, **asked)}")
        line = f"sleep {new_mark()}"
        running = asyncio.create_task(app.call("console_execute_command", command=line, **asked))
        await asyncio.sleep(pause)  # any moment will do
        over: set[asyncio.Task[Any]] = set()
        async with asyncio.timeout(PATIENCE):
            while not over:  # the first may come before there is anything to end
                await app.call("console_send_key", key="ctrl+c", **asked)
                over, _ = await asyncio.wait([running], timeout=1.0)
        assert running.result().view["status"] != "running"
    await until(is_idle, "the prompt")
    answer = await app.call("console_execute_command", command="echo here", **asked)
    assert (answer.view["output"], answer.view["exitCode"]) == ("here\n", 0)


async def shown(app: App, **asked: Any) -> str:
    """Return what the screen shows."""
    return repr((await app.call("console_get_screen", **asked)).view["screen"])


async def test_a_shell_at_a_prompt_that_is_not_passed_on_yet_is_idle(app: App, late: Late) -> None:
    made = await app.call("console_create_session", command="bash")
    asked = {"sessionId": made.view["sessionId"]}
    running = asyncio.create_task(app.call("console_execute_command", command=late.line, **asked))

    async def has_begun() -> bool:
        tracker = await app.engine.consoles.executions.tracker(session)
        return tracker.execution is not None and tracker.execution.has_begun

    async def seen() -> Mapping[str, Any] | None:
        answer = await app.call("console_get_session_state", **asked)
        return answer.view if late.is_seen else None

    session = await app.engine.consoles.get(asked["sessionId"])
    await until(has_begun, "the command")
    late.gate.touch()
    view = await until(seen, "the shell to wait")
    assert view is not None
    assert view["state"] == "idle" and "currentCommand" not in view
    assert (await running).view["exitCode"] == 0
