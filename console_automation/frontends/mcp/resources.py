"""Jobs, sessions, workflow runs and schedules, and what they print, as resources."""

from collections.abc import Container
from typing import Any

import mcp_types as types
from mcp import MCPError
from mcp.server.context import ServerRequestContext

from console_automation.core.text import sanitize
from console_automation.engine.engine import Engine
from console_automation.errors import JobNotFound, SessionNotFound
from console_automation.frontends.mcp.addresses import Address, parsed, template
from console_automation.frontends.mcp.kinds import KINDS

_LISTED = 50

Context = ServerRequestContext[Any]


class Resources:
    """Serves resources; those of the toolsets are listed."""

    def __init__(self, engine: Engine, toolsets: Container[str]) -> None:
        self._engine = engine
        self._listed = {scheme: kind for scheme, kind in KINDS.items() if f"{scheme}s" in toolsets}

    async def list(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """Return the newest of each kind with all their parts."""
        found: list[types.Resource] = []
        for scheme, kind in self._listed.items():
            for id, title in await kind.latest(self._engine, _LISTED):
                found += _resources_of(Address(scheme=scheme, id=id), title)
        return types.ListResourcesResult(resources=found)

    async def list_templates(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """Return how the URIs of all resources are made."""
        templates = [
            types.ResourceTemplate(
                uri_template=template(scheme, name) + part.query,
                name=f"{scheme}-{name}" if name else scheme,
                title=part.title,
                description=part.description,
                mime_type=part.mime_type,
            )
            for scheme, kind in self._listed.items()
            for name, part in kind.parts.items()
        ]
        return types.ListResourceTemplatesResult(resource_templates=templates)

    async def read(
        self, ctx: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """Return something as JSON, or a part of it as text."""
        uri = str(params.uri)
        address = parsed(uri)
        part = address.meaning
        try:
            text = await part.read(self._engine, address.id, uri)
        except (JobNotFound, SessionNotFound) as error:
            raise MCPError(types.INVALID_PARAMS, error.message, {"uri": uri}) from None
        return types.ReadResourceResult(
            contents=[types.TextResourceContents(uri=uri, mime_type=part.mime_type, text=text)]
        )


def _resources_of(owner: Address, title: str) -> "list[types.Resource]":
    title = sanitize(title)[:80]
    return [
        types.Resource(
            uri=each.uri,
            name=f"{each.id}-{each.part}" if each.part else each.id,
            title=f"{each.part.capitalize()} of {title}" if each.part else title,
            mime_type=each.meaning.mime_type,
        )
        for each in owner.all
    ]
