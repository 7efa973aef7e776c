"""A client without a library: says exactly the bytes it is told to, and reads what comes back."""

import json
import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from console_automation.frontends import launch
from tests.integration.servers import PROGRAM, environment
from tests.waiting import PATIENCE

LEGACY = {"protocolVersion": "2025-11-25", "capabilities": {}}
CLIENT = {"name": "raw", "version": "0"}
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Wire:
    """Lines to and from a server. A line that does not come in time fails the test."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = reader
        self._writer = writer
        self._received = bytearray()
        self._ids = iter(range(1_000, 1_000_000))

    def send(self, data: bytes) -> None:
        """Send these bytes, and read meanwhile, so that nobody blocks the other."""
        view = memoryview(data)
        while view:
            readable, writable, _ = select.select([self._reader], [self._writer], [], PATIENCE)
            assert readable or writable, "nobody reads"
            if readable:
                self._receive()
            if writable:
                view = view[os.write(self._writer, view[: select.PIPE_BUF]) :]

    def say(self, message: Any) -> None:
        """Send a message on a line of its own."""
        self.send(json.dumps(message).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        """Return the next message."""
        limit = time.monotonic() + PATIENCE
        while b"\n" not in self._received:
            left = max(0.0, limit - time.monotonic())
            assert select.select([self._reader], [], [], left)[0], "no answer"
            self._receive()
        line, _, rest = self._received.partition(b"\n")
        self._received = bytearray(rest)
        message: dict[str, Any] = json.loads(line)
        return message

    def _receive(self) -> None:
        data = os.read(self._reader, 1 << 16)
        if not data:
            raise EOFError("the server has hung up")
        self._received += data

    def answer(self, key: Any) -> dict[str, Any]:
        """Return the answer to the request with this id; what comes before it is dropped."""
        while True:
            message = self.hear()
            if message.get("id") == key and ("result" in message or "error" in message):
                return message

    def request(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request and return its answer."""
        key = next(self._ids)
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": key, "method": method}
        self.say(message if params is None else {**message, "params": params})
        return self.answer(key)

    def shake_hands(self) -> None:
        """Open a session of the older era."""
        self.request("initialize", {**LEGACY, "clientInfo": CLIENT})
        self.say({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return its structured result."""
        answer = self.request("tools/call", {"name": tool, "arguments": arguments})
        result: dict[str, Any] = answer["result"]["structuredContent"]
        return result


class RawBridge(Wire):
    """`console-automation mcp`, with its stdin and stdout in the test's hands."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, "mcp"],
            env=environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        assert self.process.stdin and self.process.stdout
        super().__init__(self.process.stdout.fileno(), self.process.stdin.fileno())

    def close(self) -> str:
        """End it as clients do, by closing its stdin; returns what it said on stderr."""
        _, said = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, said
        return said.decode()

    def kill(self) -> None:
        """End it as the system does."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def bridge(home: Path, *, legacy: bool = True) -> Iterator[RawBridge]:
    """Run a bridge for a client of either era; it must end cleanly and say nothing on stderr."""
    opened = RawBridge(home)
    try:
        if legacy:
            opened.shake_hands()
        yield opened
        assert opened.close() == ""
    finally:
        opened.kill()


@contextmanager
def dialled(home: Path, kind: str) -> Iterator[Wire]:
    """Connect to the daemon's socket without a bridge, the greeting done."""
    line = launch.greet(str(home), kind)
    assert isinstance(line, socket.socket)
    with line:
        yield Wire(line.fileno(), line.fileno())
