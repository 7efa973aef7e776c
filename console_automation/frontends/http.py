"""MCP, the API of jobs, metrics and webhooks over HTTP: loopback, tokens, the same checks for every route.

Off by default. The token is made on first use and kept in the state directory. Host and Origin are
checked before anything else, so that a web page in a browser on this machine can reach nothing. Who
calls a webhook has no token, but signs what it sends with a secret of that webhook.
"""

import asyncio
import hmac
import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvicorn
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from console_automation.adapters.prometheus import Metrics
from console_automation.adapters.tokens import Tokens
from console_automation.config import Settings
from console_automation.core.access import LOCAL, Principal
from console_automation.errors import BadRequest, Unavailable
from console_automation.frontends.http_answers import answered, bounded_body, refused, too_long
from console_automation.frontends.http_jobs import JobRoutes, is_about_jobs
from console_automation.frontends.mcp.server import McpServer
from console_automation.operations.operation import Answer

Hook = Callable[[str, bytes, str], Awaitable[Answer]]  #: takes path, body and signature

_AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@/]+)(?::[0-9]*)?")
_REFUSED_BYTES = 65_536
_REFUSED_SECONDS = 1.0
_HOOKS = "/hooks/"
_OPEN = ("/mcp", "/healthz")  #: to every principal
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


def read_token(home: Path) -> str:
    """Return the bearer token of a state directory, making it when there is none.

    An empty file, as a crash or a full disk may leave it, is no token: it would let everybody in.
    """
    path = home / "http-token"
    token = path.read_text(encoding="ascii", errors="replace").strip() if path.exists() else ""
    if not token:
        token = secrets.token_urlsafe(32)
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(token + "\n")
        fresh.rename(path)
    path.chmod(0o600)
    return token


class Gate:
    """Lets a request through only from this machine's names, from no web page, with the token."""

    def __init__(
        self, app: ASGIApp, *, token: str, tokens: Tokens, hosts: frozenset[str], max_body: int
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._tokens = tokens
        self._hosts = hosts
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await _take_body(scope, receive)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = _single(scope)
        if headers is None or scope["type"] != "http":
            return refused(400, "a header is repeated, or this is not HTTP")
        if _hostname(headers.get(b"host", b"")) not in self._hosts:
            return refused(421, "this server does not go by that Host")
        origin = headers.get(b"origin")
        if origin is not None and _hostname(origin.partition(b"://")[2]) not in self._hosts:
            return refused(403, "requests from web pages are not served")
        if scope["path"].startswith(_HOOKS):
            return self._too_long(headers)  # its signature is checked where the body is read
        principal = self._principal(headers.get(b"authorization", b""))
        if principal is None:
            return refused(401, "send the token: Authorization: Bearer <content of http-token>")
        if not (principal.is_admin or _is_open(scope["path"])):
            return refused(403, "this is for the user of the machine")
        scope["principal"] = principal
        scope["user"] = _user(principal)
        return self._too_long(headers)

    def _too_long(self, headers: dict[bytes, bytes]) -> Response | None:
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_body:
            return too_long(self._max_body)
        return None

    def _principal(self, authorization: bytes) -> Principal | None:
        """Return whose token a request bears."""
        scheme, _, given = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        if hmac.compare_digest(given, self._token):
            return LOCAL
        return self._tokens.bearer(given)


def _is_open(path: str) -> bool:
    """Whether somebody else than the user may come there; what for is looked at there."""
    return path in _OPEN or is_about_jobs(path)


def _user(principal: Principal) -> AuthenticatedUser:
    """Return a principal as the SDK wants to know it, so that an MCP session is for its opener alone."""
    return AuthenticatedUser(AccessToken(token="", client_id=principal.name, scopes=[]))


async def _take_body(scope: Scope, receive: Receive) -> None:
    """Read what a refused request says, up to a bound. To answer and close on what is still coming
    would reset the connection, and the client might never see the answer."""
    if scope["type"] != "http" or any(name == b"expect" for name, _ in scope["headers"]):
        return  # who expects a word of ours first has sent nothing yet
    left = _REFUSED_BYTES
    try:
        async with asyncio.timeout(_REFUSED_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body"):
                    return
    except TimeoutError:
        return


def _single(scope: Scope) -> dict[bytes, bytes] | None:
    """Return the headers, None when one that is checked here comes twice."""
    checked = (b"host", b"origin", b"authorization", b"content-length")
    names = [name for name, _ in scope["headers"] if name in checked]
    return None if len(names) != len(set(names)) else dict(scope["headers"])


def _hostname(authority: bytes) -> str:
    """Return the host of `host[:port]`, "" for anything else."""
    match = _AUTHORITY.fullmatch(authority)
    return match[1].decode("latin-1").lower() if match else ""


class HttpServer:
    """Listens on the address of the settings until it is closed."""

    def __init__(
        self,
        settings: Settings,
        token: str,
        tokens: Tokens,
        mcp: McpServer,
        metrics: Metrics,
        hook: Hook,
        jobs: JobRoutes,
    ) -> None:
        self._settings = settings
        self._socket: socket.socket | None = None
        self._serving: asyncio.Task[None]
        app = build_app(settings, token, tokens, mcp, metrics, hook, jobs)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                limit_concurrency=settings.http_max_connections,
                timeout_graceful_shutdown=2,
                timeout_keep_alive=30,
                h11_max_incomplete_event_size=65_536,
                server_header=False,
            )
        )

    def bind(self) -> str:
        """Take the port and return the server's URL.

        Raises Unavailable when it is taken, BadRequest for an address that others can reach.
        """
        settings = self._settings
        family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
        # With the protocol named, asyncio sends small answers at once instead of after 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.http_host, settings.http_port))
        except OSError as error:
            listener.close()
            raise Unavailable(
                f"{settings.http_host}:{settings.http_port} cannot be listened on: {error.strerror}."
                " Set CONSOLE_AUTOMATION_HTTP_PORT to another port."
            ) from error
        address = listener.getsockname()[0]
        if not ipaddress.ip_address(address).is_loopback:
            listener.close()
            raise BadRequest(
                f"setting http_host: {settings.http_host} is not a loopback address. The token would"
                " cross the network unencrypted: tunnel through ssh or a TLS proxy instead.",
                field="http_host",
            )
        self._socket = listener
        host = f"[{settings.http_host}]" if family == socket.AF_INET6 else settings.http_host
        return f"http://{host}:{listener.getsockname()[1]}"

    def open(self) -> None:
        """Begin to serve."""
        assert self._socket is not None
        # uvicorn's own serve() would take over the process's signals, which are the daemon's.
        self._serving = asyncio.create_task(self._server._serve(sockets=[self._socket]))

    async def close(self) -> None:
        """Finish what is under way, for two seconds at most."""
        self._server.should_exit = True
        await self._serving


def build_app(
    settings: Settings,
    token: str,
    tokens: Tokens,
    mcp: McpServer,
    metrics: Metrics,
    hook: Hook,
    jobs: JobRoutes,
) -> Starlette:
    """Return the whole HTTP application, gate included."""
    hosts = frozenset({"localhost", "127.0.0.1", "[::1]", settings.http_host.lower()})

    async def serve_metrics(request: Request) -> Response:
        return Response(metrics.text(), media_type=_EXPOSITION)

    async def serve_health(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def serve_hook(request: Request) -> Response:
        body = await bounded_body(request, settings.http_max_body_bytes)
        if body is None:
            return too_long(settings.http_max_body_bytes)
        signature = request.headers.get("x-hub-signature-256", "")
        answer = await hook(request.path_params["path"], body, signature)
        return answered(answer, 202)

    # The gate has checked Host and Origin of every route; the SDK would check its own route again.
    app = mcp.server.streamable_http_app(
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        max_request_body_size=settings.http_max_body_bytes,
        max_sessions=settings.http_max_connections * 10,
        custom_starlette_routes=[
            Route("/metrics", serve_metrics, methods=["GET"]),
            Route("/healthz", serve_health, methods=["GET"]),
            Route(_HOOKS + "{path:path}", serve_hook, methods=["POST"]),
            *jobs.all(),
        ],
    )
    most = settings.http_max_body_bytes
    gate = Middleware(Gate, token=token, tokens=tokens, hosts=hosts, max_body=most)
    app.user_middleware.insert(0, gate)
    return app
