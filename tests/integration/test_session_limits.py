"""How many sessions there may be, and for how long: refused, or closed, and said why."""

from pathlib import Path
from typing import Any

from console_automation.app import open_app
from console_automation.config import OnShutdown, Settings
from tests.conftest import CALM
from tests.integration.clients import Connected, Library, over_http, over_stdio
from tests.integration.consoles import Console, opened
from tests.integration.servers import serving
from tests.integration.steps import ok, refused
from tests.waiting import until


def settings(**knobs: Any) -> Settings:
    return Settings(**CALM, on_shutdown=OnShutdown.STOP, kill_grace_ms=500, **knobs)


async def test_more_sessions_than_the_limit_are_refused_until_one_is_closed(
    home: Path, tmp_path: Path
) -> None:
    with serving(home, http=True, max_sessions=2) as server:
        async with over_stdio(server) as first, over_http(server) as second:
            clients = [Connected(first), Connected(second)]
            sessions = [await opened(client, tmp_path, "sh") for client in clients]
            for client in clients:
                error = await refused(client, "console_create_session", command="sh")
                assert error["code"] == "LIMIT_REACHED"
                for say in ("2 sessions", "max_sessions", "console_stop_session"):
                    assert say in error["error"]
            assert (await ok(clients[0], "console_list_sessions"))["open"] == 2
            await sessions[0].ok("console_stop_session")
            await sessions[0].closed()
            third = await opened(clients[1], tmp_path, "sh")
            assert (await third.run("echo in"))["output"] == "in\n"
            for each in (sessions[1], third):
                await each.ok("console_stop_session", force=True)


async def test_a_refused_program_takes_no_place(home: Path, tmp_path: Path) -> None:
    async with open_app(home, settings(max_sessions=1)) as app:
        client = Library(app)
        program = tmp_path / "program"
        program.write_text("#!/no/such/interpreter\n")
        program.chmod(0o755)
        for _ in range(3):
            error = await refused(client, "console_create_session", command=str(program))
            assert error["code"] == "SESSION_CLOSED"
        session = await opened(client, tmp_path, "sh")
        assert (await session.run("echo in"))["output"] == "in\n"


async def test_a_session_that_nobody_uses_is_closed_as_idle(home: Path, tmp_path: Path) -> None:
    async with open_app(home, settings(session_idle_timeout_ms=500)) as app:
        session = Console(Library(app), (await created(app, tmp_path))["sessionId"])
        closed = await session.closed()
        assert (closed["closing"], closed["status"]) == ("idle", "closed")
        error = await refused(session.client, "console_send_input", sessionId=session.id, input="x")
        assert (error["code"], error["details"]["closing"]) == ("SESSION_CLOSED", "idle")


async def test_a_session_is_closed_when_its_lifetime_is_over_whatever_runs_in_it(
    home: Path, tmp_path: Path
) -> None:
    async with open_app(home, settings(session_lifetime_ms=1500)) as app:
        session = await opened(Library(app), tmp_path, "bash")
        begun = await session.start(
            "while :; do echo busy; sleep 0.05; done", options={"timeout": 0}
        )
        closed = await session.closed()
        assert closed["closing"] == "lifetime"
        ended = await session.ended(begun["commandId"])
        assert (ended["status"], ended["exitCode"]) == ("unknown", None)


async def test_old_closed_sessions_are_removed_by_the_timer(home: Path, tmp_path: Path) -> None:
    knobs = {"retain_jobs_ms": 0, "job_cleanup_interval_ms": 100}
    async with open_app(home, settings(**knobs)) as app:
        session = await opened(Library(app), tmp_path, "sh")
        await session.ok("console_stop_session")

        async def gone() -> bool:
            answer = await session.client.call("console_get_screen", {"sessionId": session.id})
            return answer.structured.get("code") == "SESSION_NOT_FOUND"

        await until(gone, "the removal")
        assert not list((home / "runs").glob(f"{session.id}*"))


async def created(app: Any, home: Path) -> dict[str, Any]:
    """Open a session and return the answer."""
    options = {"environment": {"HOME": str(home)}}
    return await ok(Library(app), "console_create_session", command="sh", options=options)
