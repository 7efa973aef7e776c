"""What tests do with a console session again and again: open, run, type, wait, look."""

from pathlib import Path
from typing import Any

from tests.integration.clients import Client
from tests.integration.steps import ok, text_of
from tests.waiting import until


class Console:
    """A session as a client of some front end drives it."""

    def __init__(self, client: Client, session_id: str) -> None:
        self.client = client
        self.id = session_id

    async def ok(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool on this session that is expected to do what it is asked."""
        return await ok(self.client, tool, sessionId=self.id, **arguments)

    async def start(self, command: str, **more: Any) -> dict[str, Any]:
        """Execute a command and return what is known of it when its time is up, or before."""
        return await self.ok("console_execute_command", command=command, **more)

    async def run(self, command: str, **more: Any) -> dict[str, Any]:
        """Execute a command until it is over within the call: a busy machine may take longer.

        It may be executed more than once, so it must not matter how often.
        """

        async def attempt() -> dict[str, Any] | None:
            result = await self.start(command, **more)
            if result["status"] != "running":
                return result
            await self.idle()
            return None

        found = await until(attempt, f"{command!r} in time")
        assert found is not None
        return found

    async def type(self, text: str, *, enter: bool = True) -> dict[str, Any]:
        """Type a text and press Enter."""
        return await self.ok("console_send_input", input=text, enter=enter)

    async def key(self, key: str) -> dict[str, Any]:
        """Press a key."""
        return await self.ok("console_send_key", key=key)

    async def sees(self, pattern: str, **more: Any) -> dict[str, Any]:
        """Return the match of a pattern, however long it takes to be printed."""

        async def matched() -> dict[str, Any] | None:
            arguments = {"sessionId": self.id, "pattern": pattern, **more}
            answer = await self.client.call("console_wait_for_output", arguments)
            if not answer.is_error:
                return answer.structured
            assert answer.structured["code"] == "TIMEOUT", answer.text
            return None

        found = await until(matched, f"{pattern!r}")
        assert found is not None
        return found

    async def printed(self, **options: Any) -> str:
        """Return all that is retained of the output."""
        found: list[dict[str, Any]] = []
        more, cursor = True, 0
        while more:
            asked = {**options, "since": cursor}
            found.append(await self.ok("console_get_output", options=asked))
            more, cursor = found[-1]["hasMore"], found[-1]["nextSince"]
        return text_of(*found)

    async def screen(self) -> str:
        """Return what the screen shows."""
        shown: str = (await self.ok("console_get_screen"))["screen"]
        return shown

    async def shows(self, text: str) -> str:
        """Return the screen once a text is on it."""

        async def there() -> str | None:
            shown = await self.screen()
            return shown if text in shown else None

        found = await until(there, f"{text!r} on the screen")
        assert found is not None
        return found

    async def state(self) -> dict[str, Any]:
        """Return how it stands, after waiting for the running command for a while."""
        return await self.ok("console_get_session_state", waitMs=1000)

    async def becomes(self, state: str) -> dict[str, Any]:
        """Return how it stands once that is so."""

        async def so() -> dict[str, Any] | None:
            found = await self.ok("console_get_session_state")
            return found if found["state"] == state else None

        found = await until(so, f"{self.id} to be {state}")
        assert found is not None
        return found

    async def idle(self) -> dict[str, Any]:
        """Return how it stands once its shell is at its prompt."""
        return await self.becomes("idle")

    async def closed(self) -> dict[str, Any]:
        """Return the session once it is closed."""
        found: dict[str, Any] = (await self.becomes("closed"))["session"]
        return found

    async def ended(self, command_id: str) -> dict[str, Any]:
        """Return a command once its end is known."""

        async def over() -> dict[str, Any] | None:
            commands = (await self.ok("console_get_command_history"))["commands"]
            (found,) = [each for each in commands if each["commandId"] == command_id]
            return found if found["status"] != "running" else None

        found = await until(over, f"the end of {command_id}")
        assert found is not None
        return found


async def opened(
    client: Client, home: Path, command: str, args: list[str] | None = None, **options: Any
) -> Console:
    """Open a session that reads none of the user's files, and return it when it can be used.

    A shell is at its prompt then; any other program has been started.
    """
    environment = {"HOME": str(home), "PS1": "$ ", **options.pop("environment", {})}
    arguments: dict[str, Any] = {"command": command, "options": {**options}}
    arguments["options"]["environment"] = environment
    if args is not None:
        arguments["args"] = args
    created = await ok(client, "console_create_session", **arguments)
    console = Console(client, created["sessionId"])
    if not created["ready"] and command in ("bash", "sh"):
        await console.idle()
    return console
