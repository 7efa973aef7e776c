"""Clients that vanish at any byte of what they say, and what the daemon has when they are gone."""

import json
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

from console_automation import paths
from console_automation.frontends.handshake import PROTOCOL
from tests.integration.servers import Server
from tests.waiting import until_now


def greeting(front: str) -> bytes:
    """Return the line that a client of one of the socket's front ends begins with."""
    who = {"version": "0", "pid": 1, "cwd": "/", "environment": {}}
    return json.dumps({"hello": front, "protocol": PROTOCOL, **who}).encode() + b"\n"


def tool_call(key: int, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return a request that calls a tool and wants progress."""
    meta = {"progressToken": key}
    return {
        "id": key,
        "method": "tools/call",
        "params": {"name": name, "arguments": arguments, "_meta": meta},
    }


def held(server: Server) -> int:
    """Return how many descriptors and children the daemon has, without its lines to shims, of which
    it keeps a few more or less.

    Threads do not count: they are those of one pool, which fills up with use and is bounded.
    """
    metrics: str = server.ask("metrics")["text"]
    shims = re.findall(r"^console_automation_shims\{.*\} ([0-9.]+)$", metrics, re.M)
    process = psutil.Process(server.pid)
    lines = sum(int(float(count)) for count in shims)
    return process.num_fds() - lines + len(process.children())


def is_alone(server: Server) -> bool:
    """Whether nobody is connected but who asks."""
    return bool(server.ask("status")["connections"] == 1)


def resident(server: Server) -> int:
    """Return the daemon's memory in bytes."""
    return int(psutil.Process(server.pid).memory_info().rss)


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many clients of a daemon, which vanish one after the other.

    `growth` is by how many bytes the daemon's memory may have grown when all have.
    """

    server: Server
    rounds: int
    growth: int

    def cut(self, data: bytes, number: int) -> bytes:
        """Return the beginning of the data; over all rounds the end wanders from its start to its end."""
        return data[: len(data) * (number + 1) // self.rounds]

    def leaves_nothing(self, vanish: Callable[[int], None], *, step: int = 1) -> None:
        """Have clients vanish in many ways, and see that the daemon is as it was."""
        server = self.server
        for number in range(0, self.rounds, 2 * step):  # what is kept after first use is kept now
            vanish(number)
        until_now(lambda: is_alone(server))
        before, memory = held(server), resident(server)
        for number in range(0, self.rounds, step):
            vanish(number)
        until_now(lambda: is_alone(server))
        until_now(lambda: held(server) <= before + 2)  # two that are just being closed or opened
        assert resident(server) - memory < self.growth
        assert "Traceback" not in (server.home / "daemon.log").read_text()

    def leaves_nothing_on_the_socket(self, conversation: bytes) -> None:
        """Have clients of the older era cut off between any two bytes of what they say."""
        hello = greeting("mcp")
        said = hello + conversation

        def vanish(number: int) -> None:
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(paths.daemon_socket(str(self.server.home)))
                line.sendall(self.cut(said, number))
                if number % 3 == 0 and number * len(said) // self.rounds >= len(hello):
                    line.recv(1)  # it goes with answers unread
                if number % 3 == 1:
                    line.shutdown(socket.SHUT_WR)

        self.leaves_nothing(vanish)
