"""One connection to a server, from beginning to end. What is asked of it when it ends has failed."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from console_automation.errors import LimitReached, Unavailable

#: how long JetStream may take for an answer, its disk included
PATIENCE = 5.0


class Refused(Exception):
    """JetStream has answered that it will not."""

    def __init__(self, error: dict[str, Any]) -> None:
        self.code = int(error.get("err_code", 0))
        self.description = str(error.get("description", ""))
        super().__init__(f"{self.description} ({self.code})")


class OnlyClient(Client):
    """The library's client, of a single connection: it keeps nothing to say it to the next one."""

    def __init__(self, *, wants_tls: bool) -> None:
        super().__init__()
        self._wants_tls = wants_tls

    def _connect_command(self) -> bytes:
        """Say who we are; not to a server that speaks plainly where TLS is wanted, as the library would."""
        if self._wants_tls and not self._server_info.get("tls_required"):
            raise nats.errors.SecureConnWantedError
        return super()._connect_command()

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        """Fail at once what waits for an answer that cannot come; the library lets it wait for its time."""
        await super()._close(status, do_cbs)
        for future in list(self._resp_map.values()):
            if not future.done():
                future.set_exception(nats.errors.ConnectionClosedError())
                future.exception()  # nobody need have waited for it


class Live:
    """A connection that stands, with the library's errors translated."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.closed = asyncio.Event()
        self._at_end: set[Callable[[], None]] = set()

    def end(self) -> None:
        """Tell whoever waits that nothing will come any more."""
        self.closed.set()
        for call in list(self._at_end):
            call()

    def at_end(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have somebody called when the connection ends; return how to be called no more."""
        self._at_end.add(call)
        return lambda: self._at_end.discard(call)

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        timeout: float = PATIENCE,
    ) -> Msg:
        """Return the answer. Raises Unavailable, LimitReached when the server takes nothing so large."""
        if len(payload) > self._client.max_payload:
            raise LimitReached(
                f"{len(payload)} bytes are more than the cluster takes at once: "
                f"{self._client.max_payload}, which its setting max_payload says."
            )
        try:
            return await self._client.request(subject, payload, timeout=timeout, headers=headers)
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"The cluster does not answer: {error}.") from error

    async def ask(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return JetStream's answer. Raises Refused, and what `request` raises."""
        message = await self.request(subject, payload, headers=headers)
        answer: dict[str, Any] = json.loads(message.data)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    async def api(self, call: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer to a call of JetStream's API."""
        return await self.ask(f"$JS.API.{call}", json.dumps(body or {}).encode())

    async def tell(self, subject: str, payload: bytes = b"", *, reply: str = "") -> None:
        """Send what nobody answers. Raises Unavailable, but its coming through says nothing."""
        try:
            await self._client.publish(subject, payload, reply=reply)
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"The cluster cannot be reached: {error}.") from error

    async def listen(self, subject: str, heard: Callable[[Msg], Awaitable[None]]) -> Subscription:
        """Have what comes for a subject handed on, one at a time and none dropped. When this returns the
        server knows it."""
        try:
            subscription = await self._client.subscribe(
                subject, cb=heard, pending_msgs_limit=0, pending_bytes_limit=0
            )
            # Twice: the library writes the first ping at once, before what it has still to send.
            for _ in range(2):
                await self._client.flush(math.ceil(PATIENCE))
            return subscription
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"The cluster cannot be reached: {error}.") from error

    def inbox(self) -> str:
        """Return a subject that nobody else has."""
        return self._client.new_inbox()
