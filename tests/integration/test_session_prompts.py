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
from console_automation.operations import sessions
from console_automation.ports.machine import Foreground
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
