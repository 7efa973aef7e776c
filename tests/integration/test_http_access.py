"""Promise 17: nobody without the token can do anything over HTTP, on any route, nor any web page.

The routes are taken from the router itself, so that a new one is attacked as soon as it exists.
"""

import http.client
import json
import stat
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from console_automation.adapters.prometheus import Metrics
from console_automation.adapters.tokens import Tokens
from console_automation.app import App
from console_automation.frontends.http import build_app, read_token
from console_automation.frontends.http_jobs import JobRoutes
from console_automation.frontends.mcp.server import McpServer
from console_automation.operations.webhooks import receive
from tests.integration.servers import Server, serving

METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"]
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
ATTEMPT = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": "console_execute_async",
            "arguments": {"command": "true", "options": {"name": "attack"}},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
)
MODERN = {
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
    "Mcp-Name": "console_execute_async",
}
Headers = list[tuple[str, str]]


def send(
    server: Server, method: str, path: str, headers: Headers, body: str = ATTEMPT
) -> tuple[int, bytes]:
    """Send one request with exactly these headers, and return status and body of the answer."""
    if [name for name, _ in headers].count("Host") != 1:
        # The HTTP library refuses it over its headers and closes: what still came then would reset
        # the connection, perhaps before the answer is read.
        body = ""
    host, port = server.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    with closing(connection):
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in [*JSON.items(), *MODERN.items(), *headers]:
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body.encode())
        answer = connection.getresponse()
        return answer.status, answer.read()


def good(server: Server) -> dict[str, str]:
    """Return the headers of somebody who may."""
    return {
        "Host": server.url.removeprefix("http://"),
        "Authorization": f"Bearer {server.token}",
    }


def attacks(server: Server) -> Iterator[tuple[str, int, Headers]]:
    """Yield what is wrong with each request, the status it has to get, and its headers."""
    right = good(server)
    host, token = ("Host", right["Host"]), ("Authorization", right["Authorization"])
    port = host[1].partition(":")[2]
    yield "no token", 401, [host]
    for value in (
        "",
        "Bearer",
        "Bearer ",
        "Bearer null",
        f"Bearer {server.token[:-1]}",
        f"Bearer {server.token}x",
        f"Bearer {server.token.swapcase()}",
        f"Bearer {server.token} {server.token}",
        f"Basic {server.token}",
        server.token,
    ):
        yield f"token {value!r}", 401, [host, ("Authorization", value)]
    yield "two tokens", 400, [host, ("Authorization", "Bearer x"), token]
    yield "no host", 400, [token]
    yield "two hosts", 400, [host, ("Host", "evil.example"), token]
    for value in (
        "evil.example",
        f"evil.example:{port}",
        f"127.0.0.1.evil.example:{port}",
        f"localhost.evil.example:{port}",
        f"evil.example@127.0.0.1:{port}",
        "127.0.0.2",
        "[::1",
        "[::1]evil.example",
        "127.0.0.1:80:evil.example",
        "0.0.0.0",
        "127.1",
    ):
        yield f"host {value!r}", 421, [("Host", value), token]
    for value in (
        "null",
        "http://evil.example",
        "https://127.0.0.1.evil.example",
        "http://evil.example:8471",
        "http://evil@localhost.evil.example",
        "evil.example",
        "file://",
        "",
    ):
        yield f"origin {value!r}", 403, [host, token, ("Origin", value)]


def routes_of(app: App, home: Path) -> list[str]:
    """Return the paths that the router serves."""
    engine = app.engine
    mcp, metrics, hook = McpServer(engine), Metrics(engine), partial(receive, engine)
    tokens, jobs = Tokens(home), JobRoutes(engine)
    built = build_app(engine.settings, "token", tokens, mcp, metrics, hook, jobs)
    assert all(isinstance(route, Route) for route in built.routes)
    return [route.path for route in built.routes if isinstance(route, Route)]


async def test_no_route_serves_anybody_else(app: App, server: Server) -> None:
    routes = routes_of(app, server.home)
    assert {"/mcp", "/metrics", "/healthz"} <= set(routes)
    routes.remove("/hooks/{path:path}")  # no token there: see test_workflow_triggers.py
    before = server.totals()
    for path in [*routes, "/", "/mcp/", "/no-such-route", "/mcp/../metrics"]:
        for method in METHODS:
            for wrong, expected, headers in attacks(server):
                status, body = send(server, method, path, headers)
                assert status == expected, f"{method} {path} with {wrong}: {status} {body[:200]!r}"
                assert server.token.encode() not in body
                assert b"jobs" not in body
    assert server.totals() == before


async def test_the_same_requests_with_the_token_are_served(app: App, server: Server) -> None:
    """The attacks fail for the reason they name, and not because nothing works."""
    right: Headers = list(good(server).items())
    page = ("Origin", server.url)
    assert send(server, "GET", "/healthz", right) == (200, b"ok\n")
    assert send(server, "GET", "/healthz", [*right, page]) == (200, b"ok\n")
    status, body = send(server, "GET", "/metrics", right)
    assert status == 200 and b"console_automation_jobs" in body
    before = server.totals()
    status, body = send(server, "POST", "/mcp", right, ATTEMPT)
    assert status == 200 and b"job-" in body
    assert server.totals() == before + 1
    for path in routes_of(app, server.home):
        for method in METHODS:
            status, _ = send(server, method, path, right, "{}")
            # There is no cluster here whose workers could be listed.
            assert status < 500 or (status, path) == (503, "/job/workers"), (method, path)


def test_a_token_that_was_replaced_is_worth_nothing(home: Path) -> None:
    with serving(home, http=True) as first:
        assert send(first, "GET", "/healthz", list(good(first).items()))[0] == 200
    (home / "http-token").unlink()
    with serving(home, http=True) as second:
        assert second.token != first.token
        old = Server(home, second.pid, second.url, first.token)
        assert send(old, "GET", "/healthz", list(good(old).items()))[0] == 401
        assert send(second, "GET", "/healthz", list(good(second).items()))[0] == 200


def test_the_token_is_for_its_owners_eyes_and_hard_to_guess(home: Path, tmp_path: Path) -> None:
    token = read_token(home)
    file = home / "http-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(token) >= 43 and file.read_text() == f"{token}\n"
    assert read_token(home) == token != read_token(tmp_path)
    file.chmod(0o644)
    assert read_token(home) == token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "\n", "   "])
def test_an_empty_token_file_lets_nobody_in(home: Path, content: str) -> None:
    (home / "http-token").write_text(content)
    (home / "http-token.new").write_text("left by a crash")
    token = read_token(home)
    assert len(token) >= 43 and read_token(home) == token


def test_the_token_is_in_no_log_and_on_no_command_line(server: Server) -> None:
    send(server, "GET", "/metrics", list(good(server).items()))
    send(server, "GET", f"/{server.token}", list(good(server).items()))
    send(server, "POST", "/mcp", list(good(server).items()), "not json")
    assert server.token not in (server.home / "daemon.log").read_text()
    command: Any = Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert server.token.encode() not in command


def test_a_refusal_is_seen_though_the_body_comes_after_it_could_have_been_sent(
    server: Server,
) -> None:
    """Headers first, the body a moment later: a server that answers and closes in between resets."""
    host, port = server.url.removeprefix("http://").split(":")
    for _ in range(20):
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        with closing(connection):
            connection.putrequest("POST", "/mcp")
            connection.putheader("Content-Length", "40000")
            connection.endheaders()
            for _ in range(10):
                connection.send(b"x" * 4000)
            answer = connection.getresponse()
            assert (answer.status, b"token" in answer.read()) == (401, True)
