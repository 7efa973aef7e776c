"""What an operation is: one use case, offered alike by every front end."""

from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from console_automation.core.access import Principal
from console_automation.engine.engine import Engine
from console_automation.operations.submission import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One use case. `result` is a TypedDict; `text` says the same to a model, in few words."""

    toolset: str
    also_in: str | None = None  #: another toolset that is not whole without it
    name: str
    title: str
    description: str
    request: type[BaseModel]
    result: type
    run: Callable[[Engine, Call, Any], Awaitable[Any]]
    text: Callable[[Any], str]
    in_cluster: Callable[[Engine, Call, Any], Awaitable[Any]] | None = (
        None  #: the same for a job of the cluster
    )
    guarded: bool = (
        False  #: it looks itself at what its caller may do; any other is for admins alone
    )
    scope: str | None = None  #: with which it is for others, too; it looks itself at what is theirs
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False

    def is_for(self, principal: Principal) -> bool:
        """Whether a principal may call it at all."""
        return principal.is_admin or self.guarded or self.scope in principal.scopes

    def is_in(self, toolsets: Container[str]) -> bool:
        """Whether it is offered when these toolsets are."""
        return self.toolset in toolsets or (self.also_in is not None and self.also_in in toolsets)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation came to. `view` matches the operation's result, or is the error result."""

    view: Mapping[str, Any]
    text: str
    is_error: bool = False
