"""The URIs of resources: what they name, and how all of them are made."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import mcp_types as types
from mcp import MCPError

from console_automation.engine.output import OutputQuery

#: For each scheme the parts that a resource has besides itself.
PARTS = {"job": ("output",), "session": ("output", "screen", "recording")}
_URI = re.compile(r"(job|session)://([A-Za-z0-9_-]+)(?:/([a-z]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A job or a session, or a part of one."""

    scheme: str
    id: str
    part: str | None = None

    @property
    def uri(self) -> str:
        base = f"{self.scheme}://{self.id}"
        return f"{base}/{self.part}" if self.part else base

    @property
    def owner(self) -> "Address":
        """The job or the session that this is a part of."""
        return Address(scheme=self.scheme, id=self.id)

    @property
    def parts(self) -> "list[Address]":
        """What there is besides the job or the session itself. All of it grows with the output."""
        return [Address(scheme=self.scheme, id=self.id, part=each) for each in PARTS[self.scheme]]


def parsed(uri: str) -> Address:
    """Return what a URI names, whether there is one or not. Raises MCPError."""
    match = _URI.fullmatch(uri.partition("?")[0])
    if match is None or (match[3] and match[3] not in PARTS[match[1]]):
        known = [f"{scheme}://{{{scheme}Id}}" for scheme in PARTS]
        known += [f"{base}/{part}" for base in known for part in PARTS[base.partition(":")[0]]]
        raise MCPError(types.INVALID_PARAMS, "there are " + ", ".join(known), {"uri": uri})
    return Address(scheme=match[1], id=match[2], part=match[3])


def page_of(uri: str, *, max_bytes: int, max_chunks: int) -> OutputQuery:
    """Return the page of output that a URI asks for by `since` and `limit`. Raises MCPError."""
    query = parse_qs(urlsplit(uri).query)
    try:
        since = int(query.get("since", ["0"])[0])
        limit = int(query.get("limit", [str(max_chunks)])[0])
    except ValueError:
        raise MCPError(
            types.INVALID_PARAMS, "since and limit are whole numbers", {"uri": uri}
        ) from None
    return OutputQuery(since=max(0, since), max_bytes=max_bytes, max_chunks=max(1, limit))
