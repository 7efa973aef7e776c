"""Receivers of notifications: a real HTTP server and a real SMTP server on loopback."""

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        """What the body says."""
        said: dict[str, Any] = json.loads(self.body)
        return said


@dataclass(slots=True, eq=False)
class Hooks:
    """What a receiver of webhooks has heard, and what it is to answer."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)  #: of the next answers; then 204
    silent: set[str] = field(default_factory=set)  #: paths that are never answered
    ended: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def ids(self) -> list[str]:
        """Return the ids of what has come, in order."""
        return [each.message["id"] for each in self.received]


@contextmanager
def webhooks(tls: ssl.SSLContext | None = None) -> Iterator[Hooks]:
    """Run a receiver of webhooks."""
    hooks = Hooks()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = dict(self.headers.items())
            hooks.received.append(Received(path=self.path, headers=headers, body=body))
            if self.path in hooks.silent:
                hooks.ended.wait()
                return
            self.send_response(hooks.statuses.pop(0) if hooks.statuses else 204)
            self.send_header("Location", hooks.url("/elsewhere"))
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign, assignment]
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        hooks.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield hooks
        finally:
            hooks.ended.set()
            server.shutdown()
            thread.join()


def trusted(directory: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Have this process trust a certificate for localhost; return what a server proves it with."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(directory / "authority.pem"))
    proof = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(proof)
    return proof


@dataclass(slots=True, eq=False)
class Mailbox:
    """What an SMTP server was handed, and what it is to answer."""

    port: int = 0
    mails: list[Envelope] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)  #: to the next recipients; then 250
    password: str = "the right one"
    is_silent: bool = False
    is_asked: bool = False  #: whether it was ever to take a mail

    def parsed(self) -> list[EmailMessage]:
        """Return what has come, as a mail program would read it."""
        return [
            message_from_bytes(bytes(each.content or b""), policy=policy.default)
            for each in self.mails
        ]

    def keep_silent(self) -> None:
        """Answer nothing to recipients from now on."""
        self.is_silent = True

    async def handle_RCPT(  # noqa: N802 - so it is called
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.is_asked = True
        if self.is_silent:
            await asyncio.Event().wait()
        envelope.rcpt_tos.append(address)
        return self.answers.pop(0) if self.answers else "250 OK"

    async def handle_DATA(  # noqa: N802 - so it is called
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.mails.append(envelope)
        return "250 OK"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        is_right = data.password.decode() == self.password
        return AuthResult(success=is_right, handled=False, message=f"535 not {data.password!r}")


@contextmanager
def mailbox(tls: ssl.SSLContext | None = None) -> Iterator[Mailbox]:
    """Run an SMTP server; with `tls` it wants STARTTLS, and then a name and a password."""
    box = Mailbox()
    ready = threading.Event()
    stop: list[Callable[[], object]] = []

    served: list[SMTP] = []

    def serve_another() -> SMTP:
        another = SMTP(
            box,
            hostname="localhost",
            tls_context=tls,
            require_starttls=tls is not None,
            authenticator=box.authenticate,
            auth_required=tls is not None,
        )
        served.append(another)
        return another

    async def serve() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        server = await loop.create_server(serve_another, "127.0.0.1", 0)
        box.port = server.sockets[0].getsockname()[1]
        stop.append(lambda: loop.call_soon_threadsafe(ended.set))
        ready.set()
        await ended.wait()
        server.close()
        for each in served:
            if each.transport is not None:
                each.transport.abort()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    try:
        yield box
    finally:
        stop[0]()
        thread.join()
