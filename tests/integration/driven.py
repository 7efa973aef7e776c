"""A console session driven over the daemon's own protocol, on one daemon after another."""

from pathlib import Path
from typing import Any, Protocol

from tests.waiting import until_now


class Caller(Protocol):
    """Whoever can carry out operations: a daemon of the test's, or a client of one."""

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]: ...


class Driven:
    """A session by its id; `caller` may be exchanged for that of the next client."""

    def __init__(self, caller: Caller, session_id: str) -> None:
        self.caller = caller
        self.id = session_id

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Carry out an operation on it."""
        return self.caller.call(operation, sessionId=self.id, **arguments)

    def type(self, text: str, *, enter: bool = False) -> None:
        """Type text."""
        self.call("console_send_input", input=text, enter=enter)

    def press(self, *keys: str) -> None:
        """Press keys."""
        for key in keys:
            self.call("console_send_key", key=key)

    def execute(self, command: str, **options: Any) -> dict[str, Any]:
        """Execute a command and return what is known of it when the call returns."""
        return self.call("console_execute_command", command=command, options=options)

    def run(self, command: str) -> dict[str, Any]:
        """Execute a command and return it, by now over, with its output."""
        result = self.execute(command)
        if result["status"] != "running":
            return result
        over = self.over(result["commandId"])
        return {**over, "output": self.printed(since=over["since"])}

    def commands(self) -> dict[str, dict[str, Any]]:
        """Return the commands on record, by id."""
        found = self.call("console_get_command_history", limit=1000)["commands"]
        return {each["commandId"]: each for each in found}

    def over(self, command_id: str) -> dict[str, Any]:
        """Return a command once it is over."""

        def ended() -> dict[str, Any] | None:
            found = self.commands()[command_id]
            return found if found["status"] != "running" else None

        found = until_now(ended, f"the end of {command_id}")
        assert found is not None
        return found

    def state(self) -> dict[str, Any]:
        """Return how it stands."""
        return self.call("console_get_session_state")

    def until(self, state: str) -> dict[str, Any]:
        """Return how it stands once that is so."""

        def reached() -> dict[str, Any] | None:
            found = self.state()
            return found if found["state"] == state else None

        found = until_now(reached, f"{self.id} to be {state}")
        assert found is not None
        return found

    def closed(self) -> dict[str, Any]:
        """Return the session once it is closed."""
        session: dict[str, Any] = self.until("closed")["session"]
        return session

    def screen(self) -> dict[str, Any]:
        """Return the screen."""
        return self.call("console_get_screen")

    def shows(self, *texts: str) -> dict[str, Any]:
        """Return the screen once it shows all the texts."""

        def complete() -> dict[str, Any] | None:
            seen = self.screen()
            return seen if all(text in seen["screen"] for text in texts) else None

        found = until_now(complete, f"{texts} on the screen of {self.id}")
        assert found is not None
        return found

    def printed(self, since: int = 0) -> str:
        """Return what it has printed after a chunk, as far as it is retained."""
        text, more = "", True
        while more:
            page = self.call("console_get_output", options={"since": since, "maxBytes": 1 << 20})
            text += "".join(chunk["content"] for chunk in page["output"])
            since, more = page["nextSince"], page["hasMore"]
        return text

    def stop(self, **arguments: Any) -> dict[str, Any]:
        """Close it."""
        return self.call("console_stop_session", **arguments)


def open_session(
    caller: Caller, home: Path, command: str = "bash", args: list[str] | None = None, **options: Any
) -> Driven:
    """Open a session with a program that reads none of the user's files; a shell is at its prompt."""
    own = {"HOME": str(home), "PS1": "$ ", **options.pop("environment", {})}
    asked: dict[str, Any] = {"command": command, "options": {"environment": own, **options}}
    if args is not None:
        asked["args"] = args
    created = caller.call("console_create_session", **asked)
    driven = Driven(caller, created["sessionId"])
    if command == "bash" and not created["ready"]:
        driven.until("idle")
    return driven
