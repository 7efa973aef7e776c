"""`console-automation mcp`: splices an MCP client's stdin and stdout to the daemon. Standard library only.

The MCP server runs in the daemon; this process only carries lines, so it starts in milliseconds and
weighs little. Clients do not start a server again that has died, so the bridge outlives its daemon:
when the connection breaks it starts or finds the next daemon, replays the client's handshake and
subscriptions, and answers the calls that were under way with an error that says what happened. Jobs
never notice any of it.
"""

import json
import os
import re
import select
import signal
import socket
import sys
import time

from console_automation.frontends.handshake import LONGEST_LINE
from console_automation.frontends.launch import DaemonUnavailable, connect

_KEY = rb'(-?\d+|"(?:[^"\\]|\\.)*")'
_ID = re.compile(rb'\{"jsonrpc":"2\.0","id":' + _KEY + b",")
#: where clients write the id of a request: before what may be long, or at the very end
_EARLY_ID = re.compile(rb'\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*' + _KEY)
_LATE_ID = re.compile(rb'"id"\s*:\s*' + _KEY + rb"\s*\}\s*\Z")
_LOST = (
    "The server was restarted while this call was under way. Jobs are not affected: they go on and"
    " nothing is lost. Reading and waiting calls can simply be repeated; before starting a job"
    " again, look with console_list_jobs whether it was started, or repeat it with the same"
    " idempotencyKey."
)
_READ = 1 << 16
_MARGIN = 1 << 10
_MOST_FAILURES = 8


class Bridge:
    """Carries lines between the client on stdin/stdout and the daemon."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._line: socket.socket
        self._from_client = bytearray()
        self._too_long = b""  #: the beginning of a line that is not passed on, while it lasts
        self._from_daemon = bytearray()
        self._open_calls: dict[bytes, str] = {}
        #: what a new daemon has to hear again: the handshake, and subscriptions by resource
        self._replay: dict[str, bytes] = {}
        self._hushed: set[bytes] = set()
        self._failures = 0  #: connections in a row that broke before they said anything

    def run(self) -> int:
        """Carry lines until the client closes its end."""
        self._line = connect(self._home, "mcp")
        while True:
            ready, _, _ = select.select([0, self._line.fileno()], [], [])
            if self._line.fileno() in ready and not self._carry_down():
                self._reconnect()
            if 0 in ready and not self._carry_up():
                return self._drain()

    def _carry_up(self) -> bool:
        """Pass on what the client says; False at its end."""
        data = os.read(0, _READ)
        if not data:
            return False
        self._from_client += data
        if self._too_long:
            self._skip_long_line()
        whole = self._from_client.rfind(b"\n") + 1
        if whole:
            lines = bytes(self._from_client[:whole])
            del self._from_client[:whole]
            for line in lines[:-1].split(b"\n"):
                self._note(line)
            self._send(lines)
        elif len(self._from_client) > LONGEST_LINE - _READ:
            self._too_long = bytes(self._from_client[:_MARGIN])
        return True

    def _skip_long_line(self) -> None:
        """Keep no more than the end of a line that is too long; answer it when that has come."""
        rest, end, after = self._from_client.partition(b"\n")
        if not end:
            del self._from_client[:-_MARGIN]
            return
        found = _EARLY_ID.match(self._too_long) or _LATE_ID.search(rest[-_MARGIN:])
        message = f"a message may have {LONGEST_LINE - _READ} bytes, this one was longer"
        self._write(_error(found[1] if found else b"null", -32700, message))
        self._too_long, self._from_client = b"", after

    def _send(self, data: bytes) -> None:
        try:
            self._line.sendall(data)
        except OSError:
            return  # the next read sees the end of the line and reconnects

    def _note(self, line: bytes) -> None:
        """Remember a request as under way, and what would have to be replayed."""
        try:
            message = json.loads(line)
            method, key = message["method"], message.get("id")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return  # an answer, or nothing the daemon will take either
        if isinstance(key, str | int):
            self._open_calls[json.dumps(key).encode()] = method
        if method in ("initialize", "notifications/initialized"):
            self._replay[method] = line
        elif method in ("resources/subscribe", "resources/unsubscribe"):
            params = message.get("params")
            about = f"subscribe {params.get('uri') if isinstance(params, dict) else None}"
            self._replay.pop(about, None)
            if method == "resources/subscribe":
                self._replay[about] = line

    def _carry_down(self) -> bool:
        """Pass on what the daemon says; False when the connection is broken."""
        try:
            data = self._line.recv(_READ)
        except OSError:
            data = b""
        if not data:
            return False
        self._failures = 0
        self._from_daemon += data
        whole = self._from_daemon.rfind(b"\n") + 1
        if whole:
            lines = bytes(self._from_daemon[:whole])
            del self._from_daemon[:whole]
            self._deliver(lines)
        return True

    def _deliver(self, lines: bytes) -> None:
        """Write whole lines to the client, but for answers to what was only replayed."""
        kept = []
        for line in lines.splitlines(keepends=True):
            answered = _ID.match(line)
            if answered:
                key = json.dumps(json.loads(answered[1])).encode()
                self._open_calls.pop(key, None)
                if key in self._hushed:
                    self._hushed.discard(key)
                    continue
            kept.append(line)
        self._write(b"".join(kept))

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]

    def _reconnect(self) -> None:
        """Find the next daemon, bring it up to date, and answer what the last one left open."""
        self._from_daemon.clear()
        lost, self._open_calls = self._open_calls, {}
        self._line.close()
        if self._failures >= _MOST_FAILURES:
            raise DaemonUnavailable(f"daemons keep ending; see {self._home}/daemon.log")
        if self._failures:
            time.sleep(0.05 * 2**self._failures)
        self._failures += 1
        self._line = connect(self._home, "mcp")
        self._hushed.clear()
        for method, line in self._replay.items():
            key = json.dumps(json.loads(line).get("id")).encode()
            if lost.pop(key, None) is None and key != b"null":
                self._hushed.add(key)
            elif method == "initialize":
                self._open_calls[key] = method
            self._send(line + b"\n")
        for key, method in lost.items():
            self._write(_failure(key, method))

    def _drain(self) -> int:
        """The client has closed its end: let the daemon see that, and pass on what still comes."""
        try:
            self._line.shutdown(socket.SHUT_WR)
        except OSError:
            return 0
        while self._carry_down():
            pass
        return 0


def _failure(key: bytes, method: str) -> bytes:
    """Return the answer to a call whose daemon is gone; for a tool, one that its model will read."""
    if method == "tools/call":
        error = {"success": False, "error": _LOST, "code": "UNAVAILABLE", "details": {}}
        body: dict[str, object] = {
            "result": {
                "content": [{"type": "text", "text": f"UNAVAILABLE: {_LOST}"}],
                "structuredContent": error,
                "isError": True,
                "resultType": "complete",
            }
        }
        return _answer(key, body)
    return _error(key, -32603, _LOST)


def _error(key: bytes, code: int, message: str) -> bytes:
    return _answer(key, {"error": {"code": code, "message": message}})


def _answer(key: bytes, body: "dict[str, object]") -> bytes:
    return b'{"jsonrpc":"2.0","id":' + key + b"," + json.dumps(body).encode()[1:] + b"\n"


def main(home: str) -> int:
    """Run the bridge; returns the exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # a daemon it started may end before it does
    try:
        return Bridge(home).run()
    except DaemonUnavailable as error:
        sys.stderr.write(f"console-automation: {error}\n")
        return 4
    except (BrokenPipeError, KeyboardInterrupt):
        return 0
