"""MCP messages over a connection to the daemon: one JSON-RPC message per line.

The SDK's own stdio transport owns a process's stdin; here the streams it serves are made of a Unix
socket. A line that is no message is answered, not dropped: nobody waits for an answer in vain.
"""

import asyncio
import json
from types import TracebackType
from typing import Self

from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCNotification, jsonrpc_message_adapter
from pydantic import ValidationError

from console_automation.frontends.lines import LineTooLong, read_line

_PARSE_ERROR = -32700
_HIGH_WATER = 1 << 20


class Sink:
    """The SDK's write stream: messages go out as lines."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def send(self, item: SessionMessage, /) -> None:
        """Write one message; waits while the peer does not read."""
        text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
        await self.write(text.encode("utf-8", "replace") + b"\n")

    async def write(self, data: bytes) -> None:
        """Write bytes; waits while the peer does not read."""
        if self._writer.is_closing():
            return
        self._writer.write(data)
        if self._writer.transport.get_write_buffer_size() > _HIGH_WATER:
            try:
                await self._writer.drain()
            except ConnectionError:
                return

    async def aclose(self) -> None:
        """Close the connection."""
        self._writer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool | None:
        await self.aclose()
        return None


class Source:
    """The SDK's read stream: lines come in as messages."""

    def __init__(self, reader: asyncio.StreamReader, sink: Sink) -> None:
        self._reader = reader
        self._sink = sink

    async def receive(self) -> SessionMessage | Exception:
        """Return the next message; raises StopAsyncIteration at the end."""
        return await self.__anext__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        while True:
            try:
                line = await read_line(self._reader)
                if line is None:
                    raise StopAsyncIteration
                if line.strip():
                    message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                    if not (isinstance(message, JSONRPCNotification) and _has_id(line)):
                        return SessionMessage(message)
                    await self._complain(line, "an id is a string or a whole number")
            except LineTooLong as error:
                await self._complain(None, str(error))
            except ValidationError as error:
                await self._complain(line, _reason(error))
            except (ValueError, RecursionError) as error:
                await self._complain(line, str(error)[:200])

    async def _complain(self, line: bytes | None, why: str) -> None:
        message = f"not a JSON-RPC message: {why}; send one message per line"
        answer = {
            "jsonrpc": "2.0",
            "id": _id_in(line),
            "error": {"code": _PARSE_ERROR, "message": message},
        }
        await self._sink.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")

    async def aclose(self) -> None:
        """Nothing to close: the sink closes the connection."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool | None:
        return None


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return str(first["msg"])[:200]


def _has_id(line: bytes) -> bool:
    """Whether what looks like a notification is a request whose id is none: it wants an answer."""
    return b'"id"' in line and "id" in json.loads(line)


def _id_in(line: bytes | None) -> str | int | None:
    """Return the id of a malformed request, so that its sender can match the complaint."""
    try:
        found = json.loads(line or b"null")
    except (ValueError, RecursionError):
        return None
    key = found.get("id") if isinstance(found, dict) else None
    return key if isinstance(key, str | int) and not isinstance(key, bool) else None
