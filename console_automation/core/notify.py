"""Whom a client wants told of an end, and of which ends."""

from dataclasses import dataclass, field
from enum import StrEnum

ANY_END = frozenset({"completed", "failed", "cancelled", "interrupted"})


class Channel(StrEnum):
    """The way a message takes."""

    WEBHOOK = "webhook"  #: an HTTP request to a URL
    EMAIL = "email"  #: a mail to an address
    COMMAND = "command"  #: a shell line, run as a job


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """One receiver, who is told of some ends."""

    channel: Channel
    target: str = field(repr=False)  #: the URL, which may hold a token; the address; the line
    on: frozenset[str] = ANY_END  #: the statuses that are told
