"""Executing a command in a session's shell and staying with it: its output as it comes, its exit code."""

import codecs
import time
from binascii import a2b_base64

from console_automation.core.marks import MarkKind, find_marks
from console_automation.core.text import one_line, sanitize
from console_automation.frontends.cli import following, outcome
from console_automation.frontends.cli.outcome import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_PAGE_BYTES = 1 << 20
_WAIT_MS = 10_000  #: after which it is looked whether it goes on at all
_SETTLES_MS = 1000
_COMMANDS = 1000


def once(
    client: "Client", streams: "Streams", asked: "dict[str, Any]", limit_ms: float | None
) -> int:
    """Execute a command and print the tool's own answer when it is over, or the tool's time is up."""
    if "command" not in asked:
        raise Failure("say which command; --json is about executing one", outcome.USAGE)
    options = {} if limit_ms is None else {"timeout": limit_ms}
    result = client.call("console_execute_command", {**asked, "options": options}, once=True)
    streams.result(result)
    return _code(result)


def watched(
    client: "Client", streams: "Streams", asked: "dict[str, Any]", limit_ms: float | None
) -> int:
    """Execute a command, or take up the latest, and print its output until it is over or the time is up."""
    session_id = asked["sessionId"]
    limit = None if limit_ms is None else time.monotonic() + limit_ms / 1000
    command_id = None
    if "command" in asked:
        begun = client.call(
            "console_execute_command", {**asked, "options": {"timeout": 0}}, once=True
        )
        command_id = begun["commandId"]
    command = _command(client, session_id, command_id)
    try:
        is_over = _show(client, streams, session_id, command, limit)
        over = _settled(client, session_id, command, limit) if is_over else command
    except KeyboardInterrupt:
        streams.remark(f"\nit goes on. {_ways(session_id)}")
        raise
    if over["status"] == "running":
        streams.remark(f"`{one_line(over['command'], 40)}` goes on. {_ways(session_id)}")
        return outcome.TIMED_OUT
    if over["exitCode"] is None:
        streams.remark("it is not known how it ended")
    return _code(over)


def _ways(session_id: str) -> str:
    return (
        f"Come back: job session exec {session_id}   job attach {session_id}"
        f"   end: job session key {session_id} ctrl+c"
    )


def _code(command: "Mapping[str, Any]") -> int:
    """Return the exit code that stands for a command."""
    if command["status"] == "running":
        return outcome.TIMED_OUT
    return outcome.REFUSED if command["exitCode"] is None else int(command["exitCode"]) & 0xFF


def _command(client: "Client", session_id: str, command_id: str | None) -> "dict[str, Any]":
    """Return a command of the session's as it is on record, by default the latest."""
    asked = {"sessionId": session_id, "limit": 1 if command_id is None else _COMMANDS}
    commands: list[dict[str, Any]] = client.call("console_get_command_history", asked)["commands"]
    for command in commands:
        if command_id in (None, command["commandId"]):
            return command
    raise Failure("nothing was executed in it yet; say which command", outcome.USAGE)


def _show(
    client: "Client",
    streams: "Streams",
    session_id: str,
    command: "Mapping[str, Any]",
    limit: float | None,
) -> bool:
    """Print a command's output; returns whether all of it is printed before the time was up."""
    part = _Part(command["commandId"])
    since = command["since"]
    while not part.is_over:
        left = _WAIT_MS if limit is None else (limit - time.monotonic()) * 1000
        wait = max(0.0, min(left, _WAIT_MS))
        options = {"since": since, "raw": True, "maxBytes": _PAGE_BYTES, "waitMs": wait}
        page = following.page(client, session_id, options)
        first = page["firstAvailableSequence"]
        if first is not None and first > since + 1:
            part.has_begun = True  # if not, then in what is no longer kept
        streams.text(part.text(a2b_base64(chunk["content"]) for chunk in page["output"]))
        streams.flush()
        since = page["nextSince"]
        if page["hasMore"] or part.is_over:
            continue
        if following.is_over(page):
            return True
        if (
            not page["output"]
            and _command(client, session_id, command["commandId"])["status"] != "running"
        ):
            return True
        if left <= 0:
            return False
    return True


class _Part:
    """What one command has printed, out of all that the session has: between its two marks."""

    def __init__(self, command_id: str) -> None:
        self.has_begun = False
        self.is_over = False
        self._id = command_id
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def text(self, chunks: "Iterable[bytes]") -> str:
        """Return what is the command's in the next chunks; no mark is ever cut in two by their ends."""
        own = b"".join(map(self._own, chunks))
        return sanitize(self._decoder.decode(own))

    def _own(self, chunk: bytes) -> bytes:
        begin, end = 0, len(chunk)
        if self.is_over:
            return b""
        for mark in find_marks(chunk):
            if mark.command_id != self._id:
                continue
            if mark.kind is MarkKind.BEGIN and not self.has_begun:
                self.has_begun = True
                begin = mark.end
            elif mark.kind is MarkKind.END:
                self.is_over = True
                end = mark.start
                break
        return chunk[begin:end] if self.has_begun else b""


def _settled(
    client: "Client", session_id: str, command: "Mapping[str, Any]", limit: float | None
) -> "dict[str, Any]":
    """Return a command whose output is complete, once its end is on record."""
    while True:
        over = _command(client, session_id, command["commandId"])
        is_late = limit is not None and time.monotonic() > limit + _SETTLES_MS / 1000
        if over["status"] != "running" or is_late:
            return over
        asked = {"sessionId": session_id, "waitMs": _SETTLES_MS}
        client.call("console_get_session_state", asked)
