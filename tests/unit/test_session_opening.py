"""From a request to the spec of a session: which programs are shells that commands can be typed into."""

from pathlib import Path
from typing import Any

import pytest

from console_automation.core.session import SessionSpec
from console_automation.core.shells import ShellKind
from console_automation.operations import session_requests as ask
from console_automation.operations.session_opening import session_spec
from console_automation.operations.submission import Call
from tests.builders import engine_of
from tests.conftest import Build


async def opening(build: Build, runs: Path, **asked: Any) -> SessionSpec:
    engine = engine_of(await build(), runs)
    call = Call(client="test", environment={"PATH": "/usr/bin:/bin"}, cwd="/")
    return session_spec(engine, call, ask.CreateSession.model_validate(asked))


@pytest.mark.parametrize(
    ("command", "args", "kind"),
    [
        ("bash", None, ShellKind.BASH),
        ("/bin/bash", ["--norc", "-i"], ShellKind.BASH),
        ("sh", None, ShellKind.SH),
        ("sh", ["-e"], ShellKind.SH),
        ("cat", [], None),
        ("echo $HOME", None, None),
    ],
)
async def test_a_shell_is_known_by_its_name(
    build: Build, tmp_path: Path, command: str, args: list[str] | None, kind: ShellKind | None
) -> None:
    assert (await opening(build, tmp_path, command=command, args=args)).shell is kind


@pytest.mark.parametrize("args", [["-c", "read x; echo $x"], ["script", "with", "words"]])
@pytest.mark.parametrize("command", ["sh", "bash"])
async def test_a_shell_that_is_given_a_script_reads_nothing_that_is_typed(
    build: Build, tmp_path: Path, command: str, args: list[str]
) -> None:
    """So nobody waits for its prompt."""
    spec = await opening(build, tmp_path, command=command, args=args)
    assert (spec.shell, spec.command.argv) == (None, (command, *args))


async def test_a_client_may_know_better(build: Build, tmp_path: Path) -> None:
    asked = {"command": "bash", "args": ["-c", "exec bash"], "options": {"shell": "bash"}}
    assert (await opening(build, tmp_path, **asked)).shell is ShellKind.BASH
