"""Where a job of the cluster is to run: on any worker, all of them, one by name, or those of a label."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

_TOKEN = r"[A-Za-z0-9_-]+"
_DOTTED = rf"{_TOKEN}(?:\.{_TOKEN})*"
_HOST = re.compile(_DOTTED)
_LABEL = re.compile(rf"({_TOKEN}):({_DOTTED})")
_LONGEST = 200


class Reach(StrEnum):
    """How many workers a target means."""

    ANY = "any"  #: exactly one, whichever has room first
    HOST = "host"  #: the one of that name
    ALL = "all"  #: each that is known
    LABEL = "label"  #: each whose label matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target, as a client wrote it and taken apart. For a host `value` is its name."""

    text: str
    reach: Reach
    label: str = ""
    value: str = ""

    @property
    def is_group(self) -> bool:
        """Whether it means each of several workers, so that the job has a child for each."""
        return self.reach in (Reach.ALL, Reach.LABEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A worker that is known, as far as targets look at it."""

    host: str
    labels: Mapping[str, str] = field(default_factory=dict)
    is_live: bool = True  #: has been heard of within its lease
    is_cordoned: bool = False  #: takes no new jobs


def parse_target(text: str) -> Target:
    """Return what a target says. Raises ValueError with what would be right."""
    if text == "_any":
        return Target(text=text, reach=Reach.ANY)
    if text == "_all":
        return Target(text=text, reach=Reach.ALL)
    label = _LABEL.fullmatch(text)
    if len(text) <= _LONGEST and label:
        return Target(text=text, reach=Reach.LABEL, label=label[1], value=label[2])
    if not text.startswith("_"):
        return Target(text=text, reach=Reach.HOST, value=checked_host(text))
    raise ValueError("must be _any, _all, a worker's host name, or a label as in group:web.dev")


def checked_host(text: str) -> str:
    """Return a host name. Raises ValueError when it cannot be one: it becomes part of subjects."""
    if len(text) > _LONGEST or not _HOST.fullmatch(text) or text.startswith("_"):
        raise ValueError(
            "must be made of letters, digits, - and _, in parts with dots between, as in web-1.example"
        )
    return text


def parse_labels(text: str) -> dict[str, str]:
    """Return labels written as `group=web.dev zone=a`. Raises ValueError."""
    labels = {}
    for word in text.split():
        name, separator, value = word.partition("=")
        if not separator or not _LABEL.fullmatch(f"{name}:{value}"):
            raise ValueError(
                f"{word!r} is no label; write name=value, of letters, digits, - and _, the value with"
                " dots if it has parts"
            )
        labels[name] = value
    return labels


def matches(target: Target, member: Member) -> bool:
    """Whether a target means a worker. Labels match by whole parts: web.dev is web.dev.us, but not
    web.development."""
    match target.reach:
        case Reach.HOST:
            return member.host == target.value
        case Reach.LABEL:
            value = member.labels.get(target.label, "")
            return f"{value}.".startswith(f"{target.value}.")
        case _:
            return True


def meant(target: Target, members: Iterable[Member]) -> list[Member]:
    """Return the workers that a target means at this moment, by name.

    Who is not heard of is meant too: a job waits for them, and a group tells who does not respond. `_any`
    does not mean those that are cordoned.
    """
    found = [each for each in members if matches(target, each)]
    if target.reach is Reach.ANY:
        found = [each for each in found if not each.is_cordoned]
    return sorted(found, key=lambda each: each.host)


def nobody(target: Target, members: Iterable[Member]) -> str:
    """Say why a target means nobody, and who is there."""
    known = ", ".join(
        each.host
        + (" (cordoned)" if each.is_cordoned else "" if each.is_live else " (unreachable)")
        for each in sorted(members, key=lambda each: each.host)
    )
    if target.reach is Reach.ANY:
        return f"target {target.text!r}: no worker takes jobs. Known: {known or 'none'}."
    return f"target {target.text!r} matches no worker. Known: {known or 'none'}."


def host_key(host: str) -> str:
    """Return a host name as it stands in keys and subjects, where a dot means something else."""
    return host.replace("_", "__").replace(".", "_-")


def host_of_key(key: str) -> str:
    """Return the host name that `host_key` was given."""
    return key.replace("__", "\0").replace("_-", ".").replace("\0", "_")
