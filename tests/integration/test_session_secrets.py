"""Promise 19 for sessions: what is typed without an echo is nowhere to be found afterwards.

A canary is typed at prompts that do not show it, and then looked for in every file of the state
directory, in the arguments and environments of every process and in the metrics. Typed with an echo
it stands in the session's own output and nowhere else, which shows that the search finds things.
"""

import http.client
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.integration.clients import Connected, over_http, over_stdio
from tests.integration.consoles import opened
from tests.integration.servers import Server, processes_of, serving
from tests.integration.steps import refused

PROMPTS = {
    "the shell's": "read -r -s -p 'Password: ' word; echo; echo length ${#word}",
    "the terminal's": "stty -echo; printf 'Password: '; read -r word; stty echo; echo length ${#word}",
    "Python's": "python3 -c 'import getpass; print(\"length\", len(getpass.getpass()))'",
}


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A daemon that writes down all that it ever would."""
    with (
        tempfile.TemporaryDirectory(prefix="ca-", dir="/tmp", ignore_cleanup_errors=True) as home,
        serving(Path(home), http=True, log_level="debug", max_wait_ms=1000) as running,
    ):
        yield running


@pytest.fixture
def canary() -> str:
    return f"canary{secrets.token_hex(12)}"


def files_with(home: Path, canary: str) -> list[Path]:
    """Return the files of a state directory that hold the canary."""
    files = [path for path in home.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if canary.encode() in path.read_bytes()]


def processes_with(home: Path, canary: str) -> list[int]:
    """Return the product's processes, its sessions' included, that were given the canary."""
    found = []
    for pid in processes_of(home):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            words += Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if canary.encode() in words:
            found.append(pid)
    return found


def metrics(server: Server) -> str:
    """Return what Prometheus is told."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=20)) as connection:
        headers = {"Authorization": f"Bearer {server.token}"}
        connection.request("GET", "/metrics", headers=headers)
        text = connection.getresponse().read().decode()
    assert "console_automation_" in text
    return text


Connect = Callable[..., Any]


@pytest.mark.parametrize("connect", [over_stdio, over_http])
@pytest.mark.parametrize("prompt", [*PROMPTS])
async def test_a_password_is_nowhere_after_it_was_typed(
    own: Server, tmp_path: Path, canary: str, connect: Connect, prompt: str
) -> None:
    async with connect(own) as connected:
        session = await opened(Connected(connected), tmp_path, "bash")
        begun = await session.start(PROMPTS[prompt], options={"timeout": 0})
        await session.sees("^Password: $")
        await session.becomes("waiting_for_input")
        await session.type(canary)
        await session.sees(f"^length {len(canary)}$")
        assert (await session.ended(begun["commandId"]))["exitCode"] == 0
        assert canary not in await session.printed() + await session.screen()
        assert processes_with(own.home, canary) == []
        await session.ok("console_stop_session")
        arguments = {"sessionId": session.id, "input": canary}
        assert canary not in str(await refused(session.client, "console_send_input", **arguments))
    assert files_with(own.home, canary) == []
    assert canary not in metrics(own)


async def test_input_that_is_refused_is_nowhere_either(own: Server, canary: str) -> None:
    async with over_http(own) as connected:
        client = Connected(connected)
        for arguments in (
            {"sessionId": "session-no", "input": canary},
            {"sessionId": "session-no", "input": canary + "\0"},
            {"sessionId": "session-no", "input": canary, "enter": canary},
            {"sessionId": "session-no", "text": canary},
        ):
            await refused(client, "console_send_input", **arguments)
    assert files_with(own.home, canary) == []
    assert canary not in metrics(own)


async def test_what_is_echoed_stands_in_the_sessions_output_alone(
    own: Server, tmp_path: Path, canary: str
) -> None:
    async with over_http(own) as connected:
        session = await opened(Connected(connected), tmp_path, "bash")
        await session.type(f": {canary}")
        await session.shows(canary)
        await session.ok("console_stop_session")
        await session.closed()
    found = files_with(own.home, canary)
    assert found
    for path in found:
        assert path.parent.name == f"{session.id}.1" and path.name.startswith("output"), path
    assert canary not in metrics(own)


async def test_a_variable_of_a_session_is_in_no_arguments_and_no_log(
    own: Server, tmp_path: Path, canary: str
) -> None:
    async with over_http(own) as connected:
        session = await opened(Connected(connected), tmp_path, "sh", environment={"TOKEN": canary})
        assert (await session.run("echo ${#TOKEN}"))["output"] == f"{len(canary)}\n"
        for pid in processes_of(own.home):
            assert canary.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        session_view = (await session.idle())["session"]
        assert canary not in str(session_view)
        await session.ok("console_stop_session")
    assert canary not in (own.home / "daemon.log").read_text()
    assert canary not in metrics(own)


async def test_a_removed_session_takes_its_output_with_it(
    own: Server, tmp_path: Path, canary: str
) -> None:
    async with over_http(own) as connected:
        session = await opened(Connected(connected), tmp_path, "bash")
        await session.run(f"echo {canary}")
        await session.ok("console_stop_session")
        await session.closed()
        assert files_with(own.home, canary)
        await session.client.call("console_cleanup_sessions", {})
    assert [path for path in files_with(own.home, canary) if "runs" in path.parts] == []
