"""What webhooks and mails are careful about, at real servers."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from console_automation.adapters.mail_courier import MailCourier
from console_automation.adapters.webhook_courier import WebhookCourier
from console_automation.core.messages import Message
from console_automation.core.notify import Channel
from console_automation.errors import BadRequest, Unavailable
from tests.integration.receivers import mailbox, trusted, webhooks
from tests.waiting import PATIENCE

PASSWORD = "canary-password"


def message(target: str, **fields: Any) -> Message:
    channel = Channel.EMAIL if "@" in target else Channel.WEBHOOK
    defaults: dict[str, Any] = {"subject": "job x failed", "body": '{"id": "n-1"}', "due_at": 1.0}
    return Message(**{**defaults, "id": "n-1", "channel": channel, "target": target, **fields})


def courier(*, allow_private: bool = True) -> WebhookCourier:
    return WebhookCourier(secret="", allow_private=allow_private)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """Have names resolve to these addresses, to others each time."""
    left = list(answers)

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        return [(2, 1, 6, "", (address, port)) for address in left.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


# -- webhooks --------------------------------------------------------------------------------------


async def test_a_webhook_goes_to_the_address_that_was_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with webhooks() as hooks:
        resolve_to(monkeypatch, ["127.0.0.1"])  # a second look would find nothing
        await courier().deliver(message(hooks.url(host="hooks.example.org")))
        [came] = hooks.received
        assert came.headers["Host"] == f"hooks.example.org:{hooks.port}"


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::1"]])
async def test_a_name_that_leads_to_a_private_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    with webhooks() as hooks:
        resolve_to(monkeypatch, addresses)
        url = hooks.url("/canary", host="hooks.example.org")
        with pytest.raises(BadRequest, match="not a public address") as refused:
            await courier(allow_private=False).deliver(message(url))
        assert addresses[-1] in refused.value.message and "canary" not in refused.value.message
        assert not hooks.received


async def test_of_several_addresses_one_that_answers_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with webhooks() as hooks:
        resolve_to(
            monkeypatch, ["::1", "127.0.0.1"]
        )  # where nobody listens, and where somebody does
        await courier().deliver(message(hooks.url(host="hooks.example.org")))
        assert len(hooks.received) == 1


async def test_a_server_must_prove_who_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhooks(trusted(tmp_path, monkeypatch)) as hooks:
        await courier().deliver(message(hooks.url(host="localhost", scheme="https")))
        with pytest.raises(Unavailable, match="certificate"):
            await courier().deliver(message(hooks.url(host="127.0.0.1", scheme="https")))
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(Unavailable, match="certificate"):
            await courier().deliver(message(hooks.url(host="localhost", scheme="https")))
        assert len(hooks.received) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_a_failure(status: int) -> None:
    with webhooks() as hooks:
        hooks.statuses.append(status)
        with pytest.raises(Unavailable, match=f"status {status}; redirects are not followed"):
            await courier().deliver(message(hooks.url()))
        assert len(hooks.received) == 1


async def answering(answer: bytes) -> None:
    """Deliver to a server that answers with raw bytes, and then says no more."""

    def serve() -> None:
        line, _ = listening.accept()
        with line, contextlib.suppress(OSError):  # it need not be read to its end
            line.recv(65_536)
            line.sendall(answer)
            line.shutdown(socket.SHUT_WR)
            while line.recv(65_536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve)
        serving.start()
        try:
            await courier().deliver(message(f"http://127.0.0.1:{listening.getsockname()[1]}/"))
        finally:
            await asyncio.to_thread(serving.join)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 204\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000,
    ],
)
async def test_of_an_answer_the_status_alone_counts(answer: bytes) -> None:
    await answering(answer)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH\r\n", "no HTTP"),
        (b"HTTP/1.1 20x OK\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK", "without an answer"),
        (b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n", "too long"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 200, "interim"),
    ],
)
async def test_an_answer_that_is_none_is_a_failure(answer: bytes, said: str) -> None:
    with pytest.raises(Unavailable, match=said):
        await answering(answer)


async def test_who_is_not_there_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(Unavailable, match="cannot be connected to"):
            await courier().deliver(message(f"http://127.0.0.1:{bound.getsockname()[1]}/"))

    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Unavailable, match=r"hooks\.example\.org is not known"):
        await courier().deliver(message("http://hooks.example.org/"))


# -- mails -----------------------------------------------------------------------------------------

Mail = Callable[[Message], Awaitable[None]]


def mails(port: int, **fields: Any) -> Mail:
    defaults: dict[str, Any] = {
        "host": "localhost",
        "port": port,
        "user": "me",
        "password": PASSWORD,
        "sender": "jobs@example.org",
        "tls": "starttls",
        "timeout": PATIENCE,
    }
    return MailCourier(**{**defaults, **fields}).deliver


async def test_a_login_that_is_refused_is_told_without_what_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mailbox(trusted(tmp_path, monkeypatch)) as box:
        with pytest.raises(Unavailable, match="localhost refused the login with 535") as refused:
            await mails(box.port)(message("me@example.org"))
        assert PASSWORD not in str(refused.value)
        box.password = PASSWORD
        await mails(box.port)(message("me@example.org"))
        assert len(box.mails) == 1


async def test_a_mail_server_must_prove_who_it_is_before_it_gets_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mailbox(trusted(tmp_path, monkeypatch)) as box:
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(Unavailable, match="certificate"):
            await mails(box.port)(message("me@example.org"))
    with mailbox() as box, pytest.raises(Unavailable, match="STARTTLS"):
        await mails(box.port)(message("me@example.org"))


async def test_a_recipient_that_does_not_exist_is_no_matter_of_time() -> None:
    with mailbox() as box:
        box.answers += ["550 no such user", "451 try again"]
        send = mails(box.port, user="", tls="none")
        with pytest.raises(BadRequest, match="refused the recipient with 550"):
            await send(message("me@example.org"))
        with pytest.raises(Unavailable, match="refused the recipient with 451"):
            await send(message("me@example.org"))


@pytest.mark.parametrize("text", ["a\nBcc: you@example.org", "a\r\nBcc: you@example.org", "a\rb"])
@pytest.mark.parametrize("part", ["target", "subject", "id"])
async def test_no_header_can_be_smuggled_in(text: str, part: str) -> None:
    with mailbox() as box:
        fields = {"target": "me@example.org", part: text}
        with pytest.raises(BadRequest, match="cannot be a mail"):
            await mails(box.port, user="", tls="none")(message(**fields))
        assert not box.mails


async def test_without_a_server_nothing_is_sent() -> None:
    with pytest.raises(Unavailable, match="smtp_host"):
        await mails(25, host="")(message("me@example.org"))


async def test_a_mail_server_that_does_not_answer_has_a_few_threads_however_often_it_is_tried() -> (
    None
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        send = mails(silent.getsockname()[1], host="127.0.0.1", user="", tls="none")
        loop, others = asyncio.get_running_loop(), threading.active_count()
        for _ in range(3):
            tries = [asyncio.create_task(send(message("me@example.org"))) for _ in range(4)]
            await asyncio.sleep(0)
            assert threading.active_count() - others == 4
            for each in tries:  # as is done when their time is up
                each.cancel()
            await asyncio.gather(*tries, return_exceptions=True)
        late = asyncio.create_task(send(message("me@example.org")))
        silent.setblocking(False)
        for _ in range(5):  # the last of them is another's turn
            line, _ = await asyncio.wait_for(loop.sock_accept(silent), PATIENCE)
            line.close()
        with pytest.raises(Unavailable, match="closed"):
            await late
