"""Promise 26: a client may vanish at any byte. Jobs go on, and nothing of the client stays.

Clients are cut off between any two bytes of a conversation, over stdio, on the daemon's socket and over
HTTP, again and again. Then the daemon has as many descriptors, threads and children as before, and
its memory has stopped growing.
"""

import json
import os
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from console_automation import paths
from tests.integration.conftest import Gate
from tests.integration.raw import CLIENT, LEGACY, MODERN, RawBridge, bridge
from tests.integration.servers import Server, serving
from tests.integration.vanishing import Crowd, greeting, tool_call
from tests.waiting import until_now

ROUNDS = 240
STATUS = "console_get_job_status"


@pytest.fixture(scope="module")
def server(module_home: Path) -> Iterator[Server]:
    """A daemon that nobody else is connected to, so that its figures mean something."""
    with serving(module_home, http=True, max_concurrent_jobs=200) as running:
        yield running


@pytest.fixture
def crowd(server: Server) -> Iterator[Crowd]:
    crowd = Crowd(server, ROUNDS, growth=1_500_000)  # 6 kB a client
    yield crowd
    assert psutil.Process(server.pid).num_threads() < min(32, os.cpu_count() or 1) + 10


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


def test_the_socket_cut_at_any_byte(crowd: Crowd, live_job: str) -> None:
    crowd.leaves_nothing_on_the_socket(conversation(live_job))


def test_the_command_lines_socket_cut_at_any_byte(
    server: Server, crowd: Crowd, live_job: str
) -> None:
    """It asks one thing after the other, and is answered in that order."""
    asked: list[dict[str, Any]] = [
        {"operation": "console_list_jobs"},
        {"operation": "console_wait_for_jobs", "arguments": {"jobIds": [live_job]}},
    ]
    said = greeting("api") + b"".join(json.dumps(each).encode() + b"\n" for each in asked)

    def vanish(number: int) -> None:
        begun = crowd.cut(said, number)
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

    crowd.leaves_nothing(vanish)


def test_http_cut_at_any_byte(server: Server, crowd: Crowd, live_job: str) -> None:
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
            line.sendall(crowd.cut(whole, number) if number < ROUNDS * 2 // 3 else whole)
            if whole == listen and number >= ROUNDS * 2 // 3:
                # A daemon that is behind with the clients before this one may turn it away.
                while (heard := line.recv(4096)) and b"acknowledged" not in heard:
                    pass
            if number % 4 >= 2:  # a reset instead of an orderly end
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    crowd.leaves_nothing(vanish)


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


def test_stdio_closed_in_the_middle_of_a_line(server: Server, crowd: Crowd, live_job: str) -> None:
    """The bridge ends with its client, cleanly, however far that had come."""
    said = conversation(live_job)

    def vanish(number: int) -> None:
        with bridge(server.home, legacy=False) as wire:
            wire.send(crowd.cut(said, number))

    crowd.leaves_nothing(vanish, step=31)


def test_a_bridge_killed_while_calls_wait(server: Server, crowd: Crowd, live_job: str) -> None:
    def vanish(number: int) -> None:
        wire = RawBridge(server.home)
        wire.send(conversation(live_job))
        wire.answer(2)
        os.kill(wire.process.pid, signal.SIGKILL if number % 2 else signal.SIGTERM)
        wire.kill()

    crowd.leaves_nothing(vanish, step=43)


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
