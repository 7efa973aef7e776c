"""Promise 26: a client may vanish at any byte. Jobs go on, and nothing of the client stays.

Clients are cut off between any two bytes of a conversation, over stdio, on the daemon's socket and over
HTTP, again and again. Then the daemon has as many descriptors, threads and children as before, and
its memory has stopped growing.
"""

import json
import os
import re
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from console_automation import paths
from console_automation.frontends.handshake import PROTOCOL
from tests.integration.conftest import Gate
from tests.integration.raw import CLIENT, LEGACY, MODERN, RawBridge, bridge
from tests.integration.servers import Server, serving
from tests.waiting import until_now

ROUNDS = 240
STATUS = "console_get_job_status"


@pytest.fixture(scope="module")
def server(module_home: Path) -> Iterator[Server]:
    """A daemon that nobody else is connected to, so that its figures mean something."""
    with serving(module_home, http=True, max_concurrent_jobs=200) as running:
        yield running


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


@pytest.fixture
def live_job(server: Server, gate: Gate) -> Iterator[str]:
    """A job that runs all the while, and has to end as it would have."""
    job_id: str = server.call("console_execute_async", command=f"{gate.wait}; exit 9")["jobId"]
    yield job_id
    gate.open()

    def exit_code() -> int | None:
        code: int | None = server.call(STATUS, jobId=job_id, waitMs=1000)["job"]["exitCode"]
        return code

    assert until_now(exit_code) == 9


def leaves_nothing(server: Server, vanish: Callable[[int], None], *, step: int = 1) -> None:
    """Have clients vanish in many ways, and see that the daemon is as it was."""
    for number in range(0, ROUNDS, 2 * step):  # whatever is kept after first use is kept now
        vanish(number)
    until_now(lambda: is_alone(server))
    before, memory = held(server), resident(server)
    for number in range(0, ROUNDS, step):
        vanish(number)
    until_now(lambda: is_alone(server))
    until_now(lambda: held(server) <= before + 2)  # two that are just being closed or opened
    assert resident(server) - memory < 1_500_000  # 6 kB a client
    assert psutil.Process(server.pid).num_threads() < min(32, os.cpu_count() or 1) + 10
    assert "Traceback" not in (server.home / "daemon.log").read_text()


def conversation(job_id: str) -> bytes:
    """Return all that a client of the older era says while it waits for a job."""
    about = f"job://{job_id}/output"
    messages: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": {**LEGACY, "clientInfo": CLIENT}},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
        {"id": 3, "method": "resources/subscribe", "params": {"uri": about}},
        tool_call(4, STATUS, {"jobId": job_id, "waitMs": 45_000}),
        tool_call(5, "console_execute_command", {"command": "sleep 0.01; exit 3"}),
        tool_call(6, "console_get_job_output", {"jobId": job_id, "options": {"waitMs": 45_000}}),
    ]
    return b"".join(json.dumps({"jsonrpc": "2.0", **each}).encode() + b"\n" for each in messages)


def tool_call(key: int, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return a request that calls a tool and wants progress."""
    meta = {"progressToken": key}
    return {
        "id": key,
        "method": "tools/call",
        "params": {"name": name, "arguments": arguments, "_meta": meta},
    }


def cut(data: bytes, number: int) -> bytes:
    """Return the beginning of the data; over all rounds the end wanders from its start to its end."""
    return data[: len(data) * (number + 1) // ROUNDS]


def test_the_socket_cut_at_any_byte(server: Server, live_job: str) -> None:
    hello = {
        "hello": "mcp",
        "protocol": PROTOCOL,
        "version": "0",
        "pid": 1,
        "cwd": "/",
        "environment": {},
    }
    said = json.dumps(hello).encode() + b"\n" + conversation(live_job)

    def vanish(number: int) -> None:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(paths.daemon_socket(str(server.home)))
            line.sendall(cut(said, number))
            if number % 3 == 0 and number * len(said) // ROUNDS > len(json.dumps(hello)):
                line.recv(1)  # it goes with answers unread
            if number % 3 == 1:
                line.shutdown(socket.SHUT_WR)

    leaves_nothing(server, vanish)


def test_the_command_lines_socket_cut_at_any_byte(server: Server, live_job: str) -> None:
    """It asks one thing after the other, and is answered in that order."""
    hello = {
        "hello": "api",
        "protocol": PROTOCOL,
        "version": "0",
        "pid": 1,
        "cwd": "/",
        "environment": {},
    }
    asked: list[dict[str, Any]] = [
        {"operation": "console_list_jobs"},
        {"operation": "console_wait_for_jobs", "arguments": {"jobIds": [live_job]}},
    ]
    said = b"".join(json.dumps(each).encode() + b"\n" for each in (hello, *asked))

    def vanish(number: int) -> None:
        begun = cut(said, number)
        with socket.socket(socket.AF_UNIX) as line, line.makefile("rb") as answers:
            line.connect(paths.daemon_socket(str(server.home)))
            line.sendall(begun)
            if number % 3 == 1:
                line.shutdown(socket.SHUT_WR)
            elif number % 3 == 2:
                for _ in range(
                    min(begun.count(b"\n"), 2)
                ):  # it goes while it waits for the third answer
                    answers.readline()

    leaves_nothing(server, vanish)


def test_http_cut_at_any_byte(server: Server, live_job: str) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    said = http_request(server, tool_call(1, STATUS, {"jobId": live_job, "waitMs": 45_000}))
    listen = http_request(
        server,
        {
            "id": 1,
            "method": "subscriptions/listen",
            "params": {"notifications": {"resourceSubscriptions": [f"job://{live_job}/output"]}},
        },
    )

    def vanish(number: int) -> None:
        whole = said if number % 2 else listen
        with closing(socket.create_connection((host, int(port)))) as line:
            line.sendall(cut(whole, number) if number < ROUNDS * 2 // 3 else whole)
            if whole == listen and number >= ROUNDS * 2 // 3:
                # A daemon that is behind with the clients before this one may turn it away.
                while (heard := line.recv(4096)) and b"acknowledged" not in heard:
                    pass
            if number % 4 >= 2:  # a reset instead of an orderly end
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    leaves_nothing(server, vanish)


def http_request(server: Server, message: dict[str, Any]) -> bytes:
    """Return a request of the newer era as it goes over the wire."""
    message["params"].setdefault("_meta", {}).update(MODERN)
    body = json.dumps({"jsonrpc": "2.0", **message})
    head = {
        "Host": server.url.removeprefix("http://"),
        "Authorization": f"Bearer {server.token}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": message["method"],
        "Mcp-Name": message["params"].get("name", ""),
        "Content-Length": str(len(body)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items() if value)
    return f"POST /mcp HTTP/1.1\r\n{lines}\r\n{body}".encode()


def test_stdio_closed_in_the_middle_of_a_line(server: Server, live_job: str) -> None:
    """The bridge ends with its client, cleanly, however far that had come."""
    said = conversation(live_job)

    def vanish(number: int) -> None:
        with bridge(server.home, legacy=False) as wire:
            wire.send(cut(said, number))

    leaves_nothing(server, vanish, step=31)


def test_a_bridge_killed_while_calls_wait(server: Server, live_job: str) -> None:
    def vanish(number: int) -> None:
        wire = RawBridge(server.home)
        wire.send(conversation(live_job))
        wire.answer(2)
        os.kill(wire.process.pid, signal.SIGKILL if number % 2 else signal.SIGTERM)
        wire.kill()

    leaves_nothing(server, vanish, step=43)


def test_a_job_started_by_a_client_that_vanished_at_once_runs_to_its_end(
    server: Server, tmp_path: Path
) -> None:
    proof = tmp_path / "proof"
    wire = RawBridge(server.home)
    wire.shake_hands()
    job_id = wire.call("console_execute_async", command=f"sleep 0.2; echo done > {proof}; exit 4")[
        "jobId"
    ]
    wire.kill()

    def end() -> dict[str, Any] | None:
        job: dict[str, Any] = server.call(STATUS, jobId=job_id, waitMs=1000)["job"]
        return job if job["exitCode"] is not None else None

    job = until_now(end)
    assert job is not None and job["exitCode"] == 4
    assert proof.read_text() == "done\n"
