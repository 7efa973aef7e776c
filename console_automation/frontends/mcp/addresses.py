"""The URIs of resources: what they name, and how all of them are made."""

import re
from dataclasses import dataclass

import mcp_types as types
from mcp import MCPError

from console_automation.frontends.mcp.kinds import KINDS, Kind, Part

_URI = re.compile(r"([a-z]+)://([A-Za-z0-9_-]+)(?:/([a-z]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Something that is a resource, or a part of it."""

    scheme: str
    id: str
    part: str = ""

    @property
    def uri(self) -> str:
        return _uri(self.scheme, self.id, self.part)

    @property
    def kind(self) -> Kind:
        return KINDS[self.scheme]

    @property
    def meaning(self) -> Part:
        """What is to be read there."""
        return self.kind.parts[self.part]

    @property
    def owner(self) -> "Address":
        """What this is a part of."""
        return Address(scheme=self.scheme, id=self.id)

    @property
    def all(self) -> "list[Address]":
        """The thing itself and all its parts."""
        return [Address(scheme=self.scheme, id=self.id, part=each) for each in self.kind.parts]


def parsed(uri: str) -> Address:
    """Return what a URI names, whether there is one or not. Raises MCPError."""
    match = _URI.fullmatch(uri.partition("?")[0])
    if match is None or match[1] not in KINDS or (match[3] or "") not in KINDS[match[1]].parts:
        known = ", ".join(
            template(scheme, part) for scheme in KINDS for part in KINDS[scheme].parts
        )
        raise MCPError(types.INVALID_PARAMS, f"there are {known}", {"uri": uri})
    return Address(scheme=match[1], id=match[2], part=match[3] or "")


def template(scheme: str, part: str) -> str:
    """Return how the URIs of a part are made, without its query."""
    return _uri(scheme, f"{{{KINDS[scheme].id_name}}}", part)


def _uri(scheme: str, id: str, part: str) -> str:
    return f"{scheme}://{id}/{part}" if part else f"{scheme}://{id}"
