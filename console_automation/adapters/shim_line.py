"""The daemon's end of the line to one shim."""

import asyncio
from typing import Protocol, cast

from console_automation.shim import protocol


class Switchboard(Protocol):
    """Who is told what happens on the lines."""

    def line_up(self, line: "ShimLine") -> None:
        """A shim has dialled."""
        ...

    def line_down(self, line: "ShimLine") -> None:
        """A shim's line broke."""
        ...

    def heard(self, line: "ShimLine", message: protocol.Message) -> None:
        """A shim has said something."""
        ...


class ShimLine(asyncio.Protocol):
    """One shim, as far as the daemon hears of it."""

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard
        self.run_id: str | None = None
        self.is_over = False  #: the end of its run is told
        self.reusable = False  #: the shim takes another run when this one is confirmed
        self.buffer = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The shim has dialled."""
        self.transport = cast(asyncio.Transport, transport)
        self._switchboard.line_up(self)

    def data_received(self, data: bytes) -> None:
        """Pass on every message that is whole."""
        self.buffer += data
        for message in protocol.decode(self.buffer):
            self._switchboard.heard(self, message)

    def connection_lost(self, exc: Exception | None) -> None:
        """The shim has ended, or was killed."""
        self._switchboard.line_down(self)

    def send(self, message: protocol.Message) -> None:
        """Say something to the shim."""
        assert self.transport is not None
        self.transport.write(protocol.encode(message))

    def close(self) -> None:
        """Hang up: an idle shim ends."""
        assert self.transport is not None
        self.transport.close()
