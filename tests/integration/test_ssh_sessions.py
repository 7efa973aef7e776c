"""Sessions on another machine: the product's own tools against a real ssh server on loopback."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from console_automation.app import App
from tests.integration.sshd import Sshd, free_port, running_sshd
from tests.waiting import until

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with running_sshd(tmp_path / "sshd") as server:
        yield server


def target(sshd: Sshd, **fields: Any) -> dict[str, Any]:
    return {
        "host": sshd.host,
        "port": sshd.port,
        "user": sshd.user,
        "identityFile": str(sshd.identity_file),
        "knownHostsFile": str(sshd.known_hosts_file),
        **fields,
    }


async def ask(app: App, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await app.call(tool, **arguments)
    assert not answer.is_error, answer.text
    return dict(answer.view)


async def opened(app: App, sshd: Sshd, shell: str | None = "sh", **fields: Any) -> str:
    options = {"ssh": target(sshd, **fields)} | ({"shell": shell} if shell else {})
    created = await ask(app, "console_create_session", options=options)
    return str(created["sessionId"])


async def closed(app: App, session: str) -> dict[str, Any]:
    async def is_closed() -> dict[str, Any] | None:
        state = await ask(app, "console_get_session_state", sessionId=session)
        return state["session"] if state["state"] == "closed" else None

    return await until(is_closed)


@pytest.mark.parametrize("shell", [None, "sh", "bash", "zsh", "fish"])
async def test_commands_are_executed_there_with_their_own_exit_codes(
    app: App, sshd: Sshd, shell: str | None
) -> None:
    session = await opened(app, sshd, shell)
    for command, code, output in (("cd /usr", 0, ""), ("pwd; false", 1, "/usr\n")):
        done = await ask(app, "console_execute_command", sessionId=session, command=command)
        assert (done["exitCode"], done["output"]) == (code, output)


async def test_the_end_of_the_shell_there_is_no_lost_connection(app: App, sshd: Sshd) -> None:
    session = await opened(app, sshd)
    done = await ask(app, "console_execute_command", sessionId=session, command="exit 3")
    assert (done["exitCode"], done["sessionClosed"]) == (3, True)
    end = await closed(app, session)
    assert (end["closing"], end["exitCode"]) == ("exited", 3)


async def test_a_lost_connection_is_said_to_be_one_and_leaves_the_command_unknown(
    app: App, sshd: Sshd
) -> None:
    session = await opened(app, sshd)
    arguments = {"sessionId": session, "command": "sleep 600", "options": {"timeout": 100}}
    running = await ask(app, "console_execute_command", **arguments)
    assert running["status"] == "running"
    sshd.kill_connections()
    end = await closed(app, session)
    assert end["closing"] == "disconnected"
    assert "reconnect" in end["error"]
    history = await ask(app, "console_get_command_history", sessionId=session)
    [command] = history["commands"]
    assert (command["status"], command["exitCode"]) == ("unknown", None)


async def test_nobody_there_is_told_at_once_with_what_to_check(app: App, sshd: Sshd) -> None:
    options = {"shell": "sh", "ssh": target(sshd, port=free_port())}
    answer = await app.call("console_create_session", options=options)
    assert answer.is_error and answer.view["code"] == "SESSION_CLOSED"
    assert "unreachable" in answer.view["error"] and "port" in answer.view["error"]


async def test_an_unknown_host_key_is_refused_when_that_is_wanted(app: App, sshd: Sshd) -> None:
    options = {"shell": "sh", "ssh": target(sshd, knownHostsPolicy="strict")}
    answer = await app.call("console_create_session", options=options)
    assert answer.is_error and "untrusted" in answer.view["error"]


async def test_a_passphrase_is_typed_at_the_prompt_and_is_nowhere_else(
    app: App, sshd: Sshd, home: Path
) -> None:
    identity = sshd.new_identity("locked", passphrase=PASSPHRASE)
    sshd.know()
    created = await ask(
        app,
        "console_create_session",
        options={"shell": "sh", "ssh": target(sshd, identityFile=str(identity))},
    )
    session = str(created["sessionId"])
    assert not created["ready"]
    found = await ask(
        app, "console_wait_for_output", sessionId=session, pattern="passphrase.*: $", since=0
    )
    assert found["match"]
    await ask(app, "console_send_input", sessionId=session, input=PASSPHRASE, enter=True)

    async def executed() -> bool:
        answer = await app.call(
            "console_execute_command", sessionId=session, command="test $((6 * 7)) = 42"
        )
        return not answer.is_error and answer.view["exitCode"] == 0

    assert await until(executed)
    assert not [each for each in psutil.process_iter(["cmdline"]) if said(each.info["cmdline"])]
    assert not [path for path in home.rglob("*") if path.is_file() and holds(path)]


def said(words: list[str] | None) -> bool:
    return PASSPHRASE in " ".join(words or [])


def holds(path: Path) -> bool:
    return PASSPHRASE.encode() in path.read_bytes()


@pytest.mark.parametrize(
    ("field", "value"),
    [("host", "-oProxyCommand=id"), ("user", "a b"), ("jumpHost", "x;id")],
)
async def test_a_target_that_could_be_taken_for_something_else_is_refused(
    app: App, sshd: Sshd, field: str, value: str
) -> None:
    options = {"ssh": target(sshd, **{field: value})}
    answer = await app.call("console_create_session", options=options)
    assert answer.is_error and answer.view["code"] == "INVALID_ARGUMENT"
    assert answer.view["details"]["field"] == f"options.ssh.{field}"
    listed = await ask(app, "console_list_sessions")
    assert listed["sessions"] == []
