"""B12: how a terminal feels. From a keystroke to its echo, and a hundred sessions at once.

The floor of the keystroke is two calls that do nothing; that of the hundred is a hundred times the
same shell on a bare terminal, until each has printed its prompt.
"""

import os
import select
import shutil
import signal
import time
from typing import Any

from console_automation.shim import wiring
from console_automation.shim.spawn import spawn
from tests.performance.harness import Row, alternate, ms, p50, times
from tests.performance.product import Client, running

_KEYS = 60  #: typed in a row, in each of
_ROUNDS = 5
_SESSIONS = 100
_BASH = shutil.which("bash") or "/bin/bash"


def keystrokes_and_crowd() -> list[Row]:
    """B12: one key in one session; a hundred sessions opened by one client."""
    with running(max_sessions=_SESSIONS + 10) as daemon, Client(daemon.home) as client:
        home = {"HOME": str(daemon.home)}
        session = client.call(
            "console_create_session", command="cat", options={"environment": home}
        )
        typist = _Typist(client, str(session["sessionId"]))
        key = alternate(_ROUNDS, lambda: _two_calls(client), typist.round)
        crowd = alternate(3, lambda: _bare_shells(home), lambda: _open_and_close(client, home))
    return [
        Row(
            budget="B12",
            what="keystroke to its echo readable, two MCP calls, p50",
            figure=ms(key.figure),
            floor=f"{ms(key.floor)} two calls that do nothing",
            ratio=times(key.ratio),
            limit="≤ 5 ms",
            met=key.figure <= 0.005,
        ),
        Row(
            budget="B12",
            what="100 sessions of bash opened at once, all at their prompts",
            figure=ms(crowd.figure),
            floor=f"{ms(crowd.floor)} 100 bare terminals",
            ratio=times(crowd.ratio),
            limit="< 2 s",
            met=crowd.figure < 2.0,
        ),
    ]


class _Typist:
    """Types into a session, one key after the other, and waits for each to show."""

    def __init__(self, client: Client, session_id: str) -> None:
        self.client = client
        self.session_id = session_id

    def round(self) -> float:
        """Return the median time from a keystroke to its echo."""
        return p50([self._key() for _ in range(_KEYS)])

    def _key(self) -> float:
        began = time.perf_counter()
        since = self._call("console_send_input", input="x")["since"]
        options = {"since": since, "waitMs": 5_000}
        shown = self._call("console_get_output", options=options)["output"]
        taken = time.perf_counter() - began
        if "".join(chunk["content"] for chunk in shown) != "x":
            raise RuntimeError(f"the echo is {shown}")
        return taken

    def _call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        return self.client.call(tool, sessionId=self.session_id, **arguments)


def _two_calls(client: Client) -> float:
    taken = []
    for _ in range(_KEYS):
        began = time.perf_counter()
        client.request("ping", {})
        client.request("ping", {})
        taken.append(time.perf_counter() - began)
    return p50(taken)


def _open_and_close(client: Client, environment: dict[str, str]) -> float:
    arguments = {"command": "bash", "options": {"environment": environment}}
    began = time.perf_counter()
    client.call_together("console_create_session", arguments, _SESSIONS, _SESSIONS)
    taken = time.perf_counter() - began
    listed = client.call("console_list_sessions", closed=False, limit=_SESSIONS + 10)
    shells = [each["sessionId"] for each in listed["sessions"] if each["command"] == "bash"]
    if len(shells) != _SESSIONS:
        raise RuntimeError(f"{len(shells)} sessions are open")
    for session_id in shells:
        client.call("console_stop_session", sessionId=session_id, force=True)
    return taken


def _bare_shells(environment: dict[str, str]) -> float:
    """Return how long the same shells take with nothing of ours around them."""
    environment = {**environment, "TERM": "xterm-256color", "PATH": os.environ["PATH"]}
    began = time.perf_counter()
    terminals = []
    for _ in range(_SESSIONS):
        terminal = wiring.terminal(120, 32)
        pid = spawn(_BASH, ["bash"], environment, terminal.theirs)
        terminals.append((terminal, pid))
    for terminal, _ in terminals:
        select.select([terminal.terminal], [], [])
    taken = time.perf_counter() - began
    for terminal, pid in terminals:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for fd in (terminal.terminal, terminal.theirs[0], terminal.writes):
            os.close(fd)
    return taken
