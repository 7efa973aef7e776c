"""HTTP as a service: off unless asked for, on loopback alone, with limits that protect it."""

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from console_automation.config import Settings
from console_automation.errors import BadRequest, Unavailable
from console_automation.frontends.http import HttpServer
from tests.integration.clients import Connected, over_http
from tests.integration.conftest import Gate
from tests.integration.servers import (
    PROGRAM,
    Server,
    ask,
    configure,
    end_everything,
    environment,
    serving,
)
from tests.integration.steps import over, start
from tests.waiting import PATIENCE, until, until_now

LIMITS = {"http_max_connections": 4, "http_max_body_bytes": 4096}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with low limits."""
    with serving(tmp_path_factory.mktemp("small"), http=True, **LIMITS) as running:
        yield running


def listening(pid: int) -> list[str]:
    """Return the addresses on which a process takes TCP connections."""
    connections = psutil.Process(pid).net_connections(kind="inet")
    return [each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN]


def dial(server: Server) -> http.client.HTTPConnection:
    """Return an open connection to the server."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
    connection.connect()
    return connection


def get(connection: http.client.HTTPConnection, server: Server, path: str) -> tuple[int, str, str]:
    """Return status, content type and text of an answer."""
    connection.request("GET", path, headers={"Authorization": f"Bearer {server.token}"})
    answer = connection.getresponse()
    return answer.status, answer.headers["Content-Type"], answer.read().decode()


def ask_for_stream(
    connection: http.client.HTTPConnection, server: Server, uri: str
) -> http.client.HTTPResponse:
    """Begin to listen for what happens to a resource, and return when the stream is open."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    wanted = {"notifications": {"resourceSubscriptions": [uri]}, "_meta": meta}
    request = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": wanted}
    headers = {
        "Authorization": f"Bearer {server.token}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "subscriptions/listen",
    }
    connection.request("POST", "/mcp", json.dumps(request), headers)
    answer = connection.getresponse()
    assert answer.status == 200
    while b"acknowledged" not in answer.readline():
        pass
    return answer


def test_without_being_asked_the_daemon_listens_on_no_port(home: Path) -> None:
    with serving(home) as server:
        assert server.url == ""
        assert listening(server.pid) == []
        assert not (home / "http-token").exists()


@contextmanager
def served(home: Path) -> Iterator[tuple[Server, list[str]]]:
    """Run the command of the README; what it says on stderr is in the list once it has ended."""
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--http", "--port", "0"],
        env=environment(home),
        stderr=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []
    try:
        until_now((home / "run" / "daemon.sock").exists)
        url = ask(home, {"ask": "status"})["http"]
        token = (home / "http-token").read_text().strip()
        yield Server(home, process.pid, url, token), said
        process.send_signal(signal.SIGTERM)
        said.append(process.communicate(timeout=PATIENCE)[1])
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


async def test_serve_http_is_all_it_takes(home: Path, gate: Gate) -> None:
    """It ends cleanly while clients listen and wait, and the job goes on."""
    configure(home)
    try:
        with served(home) as (server, said):
            assert listening(server.pid) == ["127.0.0.1"]
            async with over_http(server) as client:
                job_id = await start(Connected(client), f"{gate.wait}; exit 9")
            with closing(dial(server)) as waiting:
                ask_for_stream(waiting, server, f"job://{job_id}")
        assert said[0].startswith(f"token: {home}/http-token\n")
        assert "Traceback" not in said[0]
        gate.open()
        with served(home) as (server, _):
            async with over_http(server) as client:
                assert (await over(Connected(client), job_id))["exitCode"] == 9
    finally:
        end_everything(home)


async def test_small_answers_are_sent_at_once() -> None:
    """Else the kernel holds the second half of every answer back, for 40 ms."""
    server: Any = HttpServer.__new__(HttpServer)
    server._settings = Settings(http_port=0)
    port = int(server.bind().rpartition(":")[2])
    held_back: list[bool] = []

    async def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        held_back.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0)
        writer.close()

    async with await asyncio.start_server(accepted, sock=server._socket):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: held_back)
        writer.close()
        await writer.wait_closed()
    assert held_back == [False]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_an_address_that_others_can_reach_is_refused(host: str) -> None:
    server: Any = HttpServer.__new__(HttpServer)
    server._settings = Settings(http_host=host, http_port=0)
    with pytest.raises((BadRequest, Unavailable)) as caught:
        server.bind()
    assert host in caught.value.message


def test_a_port_that_is_taken_is_named(home: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        configure(home, http=True, http_port=port)
        done = subprocess.run(
            [*PROGRAM, "daemon"],
            env=environment(home),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 4
    assert f"127.0.0.1:{port} cannot be listened on" in done.stderr
    assert "CONSOLE_AUTOMATION_HTTP_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_health_and_metrics_answer_in_their_formats(server: Server) -> None:
    with closing(dial(server)) as connection:
        assert get(connection, server, "/healthz") == (200, "text/plain; charset=utf-8", "ok\n")
        status, kind, text = get(connection, server, "/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert text.startswith("# HELP console_automation_")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_refused_and_the_server_goes_on(
    small: Server, chunked: bool
) -> None:
    headers = {
        "Authorization": f"Bearer {small.token}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"x": "y" * 100_000}}
    body = json.dumps(request).encode()
    with closing(dial(small)) as connection:
        pieces = (body[at : at + 1000] for at in range(0, len(body), 1000)) if chunked else body
        try:
            connection.request("POST", "/mcp", pieces, headers, encode_chunked=chunked)
        except ConnectionError:
            pass  # it may hang up while the rest is still being sent
        else:
            assert connection.getresponse().status == 413
    with closing(dial(small)) as connection:
        assert get(connection, small, "/healthz")[0] == 200


def test_connections_beyond_the_limit_are_refused_until_others_go(small: Server) -> None:
    with ExitStack() as stack:
        for _ in range(LIMITS["http_max_connections"]):
            stack.enter_context(closing(dial(small)))

        def refused() -> bool:
            with closing(dial(small)) as one_more:
                return get(one_more, small, "/healthz")[0] == 503

        until_now(refused)

    def welcome() -> bool:
        with closing(dial(small)) as connection:
            return get(connection, small, "/healthz")[0] == 200

    until_now(welcome)
    assert os.path.exists(f"/proc/{small.pid}")
