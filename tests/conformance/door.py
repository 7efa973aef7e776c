"""A product daemon behind a door that shows the token for whoever comes.

The public conformance suite cannot send an Authorization header. So this runs the real
`console-automation serve --http` on a state directory of its own, and in front of it a proxy that adds
that one header to every request and changes nothing else. Ends, with everything it started, when its
stdin does. Prints the URL of the door.
"""

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from tests.integration.servers import serving

_HEAD = b"\r\n\r\n"


class Door:
    """Passes requests on, one per connection."""

    def __init__(self, url: str, token: str) -> None:
        self._host, port = url.removeprefix("http://").split(":")
        self._port = int(port)
        self._added = f"\r\nConnection: close\r\nAuthorization: Bearer {token}".encode()

    async def enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of a client."""
        try:
            head = await reader.readuntil(_HEAD)
            inside = await asyncio.open_connection(self._host, self._port)
            lines = head.removesuffix(_HEAD).split(b"\r\n")
            kept = [line for line in lines if not line.lower().startswith(b"connection:")]
            inside[1].write(b"\r\n".join(kept) + self._added + _HEAD)
            await asyncio.gather(_copy(reader, inside[1]), _copy(inside[0], writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(1 << 16):
        sink.write(data)
        await sink.drain()
    sink.close()


async def stand_before(url: str, token: str) -> None:
    """Stand before a server until stdin ends; prints the URL of the door."""
    door = await asyncio.start_server(Door(url, token).enter, "127.0.0.1", 0)
    port = door.sockets[0].getsockname()[1]
    sys.stdout.write(f"http://localhost:{port}/mcp\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Run the daemon and the door."""
    home = Path(tempfile.mkdtemp(prefix="ca-", dir="/tmp"))
    try:
        with serving(home, http=True) as server:
            server.call("console_execute_command", command="echo a job to look at")
            asyncio.run(stand_before(server.url, server.token))
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
