"""The Courier for webhooks: one signed POST, to the very address that was looked at, and no further.

It is written over a bare connection because what matters here is what HTTP clients do by themselves: they
look names up again, follow redirects, read on for as long as something comes. Of the answer only the
status is read.
"""

import asyncio
import re
import socket
import ssl
import time

from console_automation.adapters.threads import in_thread
from console_automation.core.messages import Message
from console_automation.core.webhooks import WebhookUrl, is_public, parse_webhook, signature
from console_automation.errors import BadRequest, Unavailable

_MOST_OF_A_LINE = 8_192
_MOST_INTERIM = 100
_CUT_SHORT = (asyncio.IncompleteReadError, asyncio.LimitOverrunError)
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?\r?\n")


class WebhookCourier:
    """Posts messages. `secret` signs them, unless it is empty; `allow_private` lifts the ban on addresses
    that are not public."""

    def __init__(self, *, secret: str, allow_private: bool) -> None:
        self._secret = secret
        self._allow_private = allow_private
        self._trust: ssl.SSLContext | None = None

    async def deliver(self, message: Message) -> None:
        """Post the message; a status of 2xx means that it was taken."""
        url = parse_webhook(message.target)
        addresses = await self._addresses(url)
        reader, writer = await self._connect(url, addresses)
        try:
            writer.write(self._request(url, message))
            await writer.drain()
            status = await _status(reader)
        except (OSError, ValueError, *_CUT_SHORT) as error:
            raise Unavailable(f"{url.origin} broke off: {_said(error)}") from None
        finally:
            writer.transport.abort()
        if not 200 <= status < 300:
            hint = "; redirects are not followed" if 300 <= status < 400 else ""
            raise Unavailable(f"{url.origin} answered with status {status}{hint}")

    async def _addresses(self, url: WebhookUrl) -> list[str]:
        """Return the addresses of the host, all of which may be used."""
        try:
            found = await in_thread(
                lambda: socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
            )
        except (OSError, UnicodeError) as error:
            raise Unavailable(f"{url.host} is not known: {_said(error)}") from None
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        refused = [each for each in addresses if not is_public(each)]
        if refused and not self._allow_private:
            raise BadRequest(
                f"{url.origin} is at {refused[0]}, which is not a public address. Set"
                " webhook_allow_private if that is meant."
            )
        return addresses

    async def _connect(
        self, url: WebhookUrl, addresses: list[str]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        trust = None
        if url.scheme == "https":
            # Reading the system's certificates takes longer than the event loop may stand still.
            self._trust = trust = self._trust or await in_thread(ssl.create_default_context)
        error: Exception = Unavailable(f"{url.host} has no address")
        for address in addresses:
            try:
                return await asyncio.open_connection(
                    address,
                    url.port,
                    ssl=trust,
                    server_hostname=url.host if trust else None,
                    limit=_MOST_OF_A_LINE,
                )
            except OSError as failure:
                error = failure
        raise Unavailable(f"{url.origin} cannot be connected to: {_said(error)}") from None

    def _request(self, url: WebhookUrl, message: Message) -> bytes:
        body = message.body.encode("ascii")
        timestamp = str(int(time.time()))
        headers = {
            "Host": url.authority,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            "User-Agent": "console-automation",
            "Console-Automation-Notification": message.id,
            "Console-Automation-Timestamp": timestamp,
        }
        if self._secret:
            headers["Console-Automation-Signature"] = signature(self._secret, timestamp, body)
        lines = [f"POST {url.target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        return "\r\n".join(lines).encode("ascii") + body


async def _status(reader: asyncio.StreamReader) -> int:
    """Return the status of the answer; one of 1xx is followed by another."""
    for _ in range(_MOST_INTERIM):
        found = _STATUS.fullmatch(await reader.readuntil(b"\n"))
        if not found:
            raise ValueError("that is no HTTP")
        if found[1][:1] != b"1":
            return int(found[1])
        while (await reader.readuntil(b"\n")).strip():
            pass
    raise ValueError("no end of interim answers")


def _said(error: Exception) -> str:
    """Return an error in a few words of its own."""
    if isinstance(error, asyncio.LimitOverrunError):
        return "its answer has a line that is too long"
    if isinstance(error, asyncio.IncompleteReadError):
        return "it closed the connection without an answer"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
