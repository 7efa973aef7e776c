"""Records in a bucket: a stream with one message per subject, as NATS keeps keys and values."""

import base64
import math
from collections.abc import AsyncIterator
from typing import Any

from console_automation.adapters.nats.connection import Connection
from console_automation.adapters.nats.live import Live, Refused
from console_automation.adapters.nats.watch import watch
from console_automation.errors import LimitReached, Unavailable
from console_automation.ports.cluster import Gone, Stale, Stored

#: how long it can be told that a record is gone; who was away for longer begins again
MARKERS_KEPT = 3600
NO_MESSAGE = 10037
OTHER_REVISION = {10071, 10164}
#: of the account, of the server, of its memory, of its disk; too large; of the stream
NO_ROOM = {10002, 10023, 10028, 10047, 10054, 10077}
EXPECTED = "Nats-Expected-Last-Subject-Sequence"
OPERATION = "KV-Operation"
MARKER = "Nats-Marker-Reason"


class NatsRecords:
    """One bucket. Its keys are the last token of a subject."""

    def __init__(self, connection: Connection, bucket: str) -> None:
        self._connection = connection
        self.stream = f"KV_{bucket}"
        self._prefix = f"$KV.{bucket}."

    def config(self, **limits: Any) -> dict[str, Any]:
        """Return how its stream is made: what does not fit is refused, nothing is thrown out for it."""
        return {
            "name": self.stream,
            "subjects": [f"{self._prefix}>"],
            "max_msgs_per_subject": 1,
            "discard": "new",
            "allow_rollup_hdrs": True,
            "allow_msg_ttl": True,
            "subject_delete_marker_ttl": MARKERS_KEPT * 10**9,
            "deny_delete": True,
            "allow_direct": False,
            **limits,
        }

    async def get(self, key: str) -> Stored | None:
        """Ask the leader: a direct get may be answered by a replica that is behind."""
        found = await self._last(self._connection.live(), key)
        return None if found is None or isinstance(found, int) else found

    async def create(self, key: str, value: bytes) -> int:
        """Where there is only the mark of a record that is gone, write over that."""
        live, over = self._connection.live(), 0
        while True:
            try:
                return await self._write(live, key, value, {EXPECTED: str(over)})
            except Stale:
                found = await self._last(live, key)
                if isinstance(found, Stored):
                    raise
                over = found or 0

    async def update(
        self, key: str, value: bytes, *, revision: int, keep: float | None = None
    ) -> int:
        """The server compares the revision; it counts `keep` in whole seconds."""
        headers = {EXPECTED: str(revision)}
        if keep is not None:
            headers["Nats-TTL"] = str(max(1, math.ceil(keep)))
        return await self._write(self._connection.live(), key, value, headers)

    async def put(self, key: str, value: bytes) -> int:
        """Write over whatever is there."""
        return await self._write(self._connection.live(), key, value, None)

    async def delete(self, key: str) -> None:
        """Write the mark that it is gone. A full bucket may have room for that only without the record."""
        try:
            await self._mark(key)
        except LimitReached:
            try:
                call, which = f"STREAM.PURGE.{self.stream}", {"filter": f"{self._prefix}{key}"}
                await self._connection.live().api(call, which)
            except Refused as error:
                raise Unavailable(f"The cluster does not remove {key!r}: {error}.") from error
            await self._mark(key)

    async def fill(self) -> float:
        """Ask for the size of the stream."""
        try:
            found = await self._connection.live().api(f"STREAM.INFO.{self.stream}")
        except Refused as error:
            raise Unavailable(f"The cluster does not say how full it is: {error}.") from error
        most = int(found["config"]["max_bytes"])
        return int(found["state"]["bytes"]) / most if most > 0 else 0.0

    async def _mark(self, key: str) -> None:
        headers = {OPERATION: "PURGE", "Nats-Rollup": "sub", "Nats-TTL": str(MARKERS_KEPT)}
        await self._write(self._connection.live(), key, b"", headers)

    def watch(self) -> AsyncIterator[Stored | Gone | None]:
        """Read the stream from its beginning on: there is one message for each key."""
        return watch(self._connection, self.stream, self._prefix, longest=MARKERS_KEPT / 2)

    async def _write(
        self, live: Live, key: str, value: bytes, headers: dict[str, str] | None
    ) -> int:
        try:
            done = await live.ask(f"{self._prefix}{key}", value, headers=headers)
        except Refused as error:
            if error.code in OTHER_REVISION:
                raise Stale(f"{key!r} has changed") from error
            if error.code in NO_ROOM:
                raise LimitReached(
                    f"The cluster has no room for {key!r}: {error}. Make its limits larger, "
                    "or wait until what is finished is forgotten."
                ) from error
            raise Unavailable(f"The cluster does not store {key!r}: {error}.") from error
        return int(done["seq"])

    async def _last(self, live: Live, key: str) -> Stored | int | None:
        """Return a record, or the revision of the mark that it is gone."""
        try:
            call = f"STREAM.MSG.GET.{self.stream}"
            message = (await live.api(call, {"last_by_subj": f"{self._prefix}{key}"}))["message"]
        except Refused as error:
            if error.code == NO_MESSAGE:
                return None
            raise Unavailable(f"The cluster does not say what {key!r} is: {error}.") from error
        headers = base64.b64decode(message.get("hdrs", "")).decode()
        revision = int(message["seq"])
        if OPERATION in headers or MARKER in headers:
            return revision
        value = base64.b64decode(message.get("data", ""))
        return Stored(key=key, value=value, revision=revision)
