"""The command line as a client: each call is a process of `job` with --json.

A call whose arguments a command has options for goes through that command; any other through `job
call`, which takes JSON. Either way what is printed is held to be the tool's own result.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from console_automation.core.job import STATUS_OF, TERMINAL, Status
from console_automation.operations.table import OPERATIONS
from tests.integration.clients import Answer
from tests.integration.servers import environment
from tests.integration.warm import Job

_FINISHED = {STATUS_OF[phase] for phase in TERMINAL}
JOB = [sys.executable, "-m", "console_automation.frontends.cli"]
Words = list[str]


class CommandLine:
    """Runs `job` on the daemon of a state directory."""

    def __init__(self, home: Path) -> None:
        self._environment = environment(home)

    async def call(self, tool: str, arguments: dict[str, Any]) -> Answer:
        """Carry out a tool."""
        words = words_of(tool, arguments)
        given = "" if words else json.dumps(arguments)
        called = words or ["call", tool, "-"]
        job = await asyncio.to_thread(Job, called, self._environment, given.encode())
        try:
            code, out, err = await asyncio.to_thread(job.ended)
        except asyncio.CancelledError:
            job.kill()
            raise
        assert out, err.decode()
        view = json.loads(out)
        is_error = view["success"] is False
        assert bool(code) is is_error, (code, words, err.decode())
        assert not is_error or err.startswith(b"job: "), err.decode()
        return Answer(view, _text(tool, view), is_error)


def _text(tool: str, view: Mapping[str, Any]) -> str:
    """What a model would read beside the result; a person reads other words."""
    if view["success"] is False:
        return f"{view['code']}: {view['error']}"
    return OPERATIONS[tool].text(view)


def words_of(tool: str, arguments: Any) -> Words | None:
    """Return the command line for a call, None when its arguments can only be said in JSON."""
    special = _COMMANDS.get(tool)
    words = special(arguments) if special and isinstance(arguments, dict) else None
    return words if words is not None and all(map(_can_be_passed, words)) else None


def _can_be_passed(word: str) -> bool:
    """Whether a program can be given a word as its argument."""
    whole = not any(0xD800 <= ord(character) < 0xE000 for character in word)
    return whole and "\0" not in word and len(word) < 30_000


def _options(given: Any, flags: Mapping[str, Callable[[Any], Words | None]]) -> Words | None:
    """Return options as words, None when one of them has no words."""
    words: Words = []
    for name, value in given.items() if isinstance(given, dict) else [("", None)]:
        said = flags[name](value) if name in flags else None
        if said is None:
            return None
        words += said
    return words


def _value(flag: str, kind: type = str) -> Callable[[Any], Words | None]:
    """A value that is not empty and does not look like an option."""

    def words(value: Any) -> Words | None:
        return [f"{flag}={value}"] if type(value) is kind and value != "" else None

    return words


def _ms(flag: str) -> Callable[[Any], Words | None]:
    def words(value: Any) -> Words | None:
        return [f"{flag}={value}ms"] if type(value) is int and value >= 0 else None

    return words


def _switch(flag: str) -> Callable[[Any], Words | None]:
    return lambda value: [flag] if value is True else [] if value is False else None


def _pairs(flag: str) -> Callable[[Any], Words | None]:
    def words(value: Any) -> Words | None:
        if not isinstance(value, dict) or not all(
            type(each) is str and name and "=" not in name for name, each in value.items()
        ):
            return None
        return [f"{flag}={name}={each}" for name, each in value.items()]

    return words


def _each(flag: str) -> Callable[[Any], Words | None]:
    def words(value: Any) -> Words | None:
        known = isinstance(value, list) and all(_is_id(each) for each in value)
        return [f"{flag}={each}" for each in value] if known else None

    return words


def _is_id(value: Any) -> bool:
    """Whether it is a whole id: the command line would take a part of it for one, a tool does not."""
    return isinstance(value, str) and len(value) == 30 and value.startswith("job-")


def _directory(value: Any) -> Words | None:
    """A directory that is absolute: the command line makes any other so, a tool refuses it."""
    return [f"--dir={value}"] if str(value).startswith("/") else None


_RUN = {
    "name": _value("--name"),
    "sessionId": _value("--session"),
    "workingDirectory": _directory,
    "timeout": _ms("--timeout"),
    "environment": _pairs("--env"),
    "tags": _pairs("--tag"),
    "priority": _value("--priority", int),
    "keepStdin": _switch("--stdin"),
    "idempotencyKey": _value("--key"),
    "dependsOn": _each("--after"),
}


def _run(arguments: dict[str, Any]) -> Words | None:
    given = dict(arguments)
    command, args = given.pop("command", None), given.pop("args", None)
    options = given.pop("options", {})
    words = _options(options, _RUN)
    if given or words is None or type(command) is not str or not command.strip():
        return None
    if "timeout" not in options:
        if "idempotencyKey" in options:
            return None  # a key is for the very same request, and this would add to it
        words.append("--timeout=300s")  # the tool's default; the command line's is none
    if args is None:
        return ["run", "--json", *words, command] if not command.startswith("-") else None
    if not isinstance(args, list) or not all(type(each) is str for each in args):
        return None
    return ["run", "--json", *words, "--", command, *args]


def _about_job(
    command: str, flags: Mapping[str, Callable[[Any], Words | None]]
) -> Callable[[dict[str, Any]], Words | None]:
    """A command about one job, with options that are the tool's other arguments."""

    def words(arguments: dict[str, Any]) -> Words | None:
        rest = {**arguments, **arguments.get("options", {})} if _flat(arguments) else {"": ""}
        job_id = rest.pop("jobId", None)
        rest.pop("options", None)
        said = _options(rest, flags)
        return None if said is None or not _is_id(job_id) else [command, "--json", *said, job_id]

    return words


def _flat(arguments: dict[str, Any]) -> bool:
    return isinstance(arguments.get("options", {}), dict)


def _with_options(
    command: str, flags: Mapping[str, Callable[[Any], Words | None]], always: Words
) -> Callable[[dict[str, Any]], Words | None]:
    """A command about no job, with options that are the tool's."""

    def words(arguments: dict[str, Any]) -> Words | None:
        if set(arguments) - {"options"}:
            return None
        said = _options(arguments.get("options", {}), flags)
        return None if said is None else [command, "--json", *always, *said]

    return words


def _send(arguments: dict[str, Any]) -> Words | None:
    given = dict(arguments)
    job_id, text, eof = given.pop("jobId", None), given.pop("input", None), given.pop("eof", False)
    if given or not _is_id(job_id) or type(text) is not str or type(eof) is not bool:
        return None
    if not text or text.startswith("-"):
        return None
    return ["send", "--json", "--no-newline", *["--eof"] * eof, job_id, text]


def _is_session(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 34 and value.startswith("session-")


def _create_session(arguments: dict[str, Any]) -> Words | None:
    given = dict(arguments)
    command, args = given.pop("command", None), given.pop("args", [])
    flags = {
        "name": _value("--name"),
        "cwd": _directory,
        "environment": _pairs("--env"),
        "shell": lambda value: [f"--shell={value}"] if value and type(value) is str else None,
    }
    words = _options(given.pop("options", {}), flags)
    plain = isinstance(args, list) and all(type(each) is str for each in args)
    if given or words is None or type(command) is not str or not command.strip() or not plain:
        return None
    if "args" in arguments:
        return ["session", "new", "--json", *words, "--", command, *args]
    return None if command.startswith("-") else ["session", "new", "--json", *words, command]


def _in_session(
    command: str, words_of_rest: Callable[[dict[str, Any]], Words | None]
) -> Callable[[dict[str, Any]], Words | None]:
    """A command about one session; what its other arguments are as words is given: options, --, words."""

    def words(arguments: dict[str, Any]) -> Words | None:
        rest = dict(arguments)
        session_id = rest.pop("sessionId", None)
        said = words_of_rest(rest) if _is_session(session_id) else None
        if said is None:
            return None
        at = said.index("--") if "--" in said else len(said)
        return ["session", command, "--json", *said[:at], session_id, *said[at + 1 :]]

    return words


def _type(rest: dict[str, Any]) -> Words | None:
    text, enter = rest.pop("input", None), rest.pop("enter", False)
    if rest or type(text) is not str or text.startswith("-") or type(enter) is not bool:
        return None
    return [*["--no-enter"] * (not enter), "--", text] if len(text) < 1000 else None


def _press(rest: dict[str, Any]) -> Words | None:
    key = rest.pop("key", None)
    return ["--", key] if not rest and type(key) is str and key[:1] not in ("", "-") else None


def _resize(rest: dict[str, Any]) -> Words | None:
    size = [rest.pop("cols", None), rest.pop("rows", None)]
    plain = not rest and all(type(each) is int and each >= 0 for each in size)
    return ["--", *map(str, size)] if plain else None


def _list_sessions(arguments: dict[str, Any]) -> Words | None:
    closed = arguments.get("closed", True)
    if set(arguments) - {"closed"} or type(closed) is not bool:
        return None
    return ["session", "ls", "--json", *["--all"] * closed]


def _session_output(rest: dict[str, Any]) -> Words | None:
    options = rest.pop("options", {})
    flags = {
        "tail": _value("--tail", int),
        "grep": _value("--grep"),
        "ignoreCase": _switch("--ignore-case"),
        "raw": _switch("--raw"),
    }
    return None if rest else _options(options, flags)


_COMMANDS: Mapping[str, Callable[[dict[str, Any]], Words | None]] = {
    "console_execute_async": _run,
    "console_get_job_status": _about_job("status", {}),
    "console_get_job_output": _about_job(
        "logs",
        {
            "tail": _value("--tail", int),
            "grep": _value("--grep"),
            "ignoreCase": _switch("--ignore-case"),
            "context": _value("--context", int),
            "raw": _switch("--raw"),
            "stream": lambda value: [f"--{value}"] if value in ("stdout", "stderr") else None,
        },
    ),
    "console_cancel_job": _about_job(
        "stop",
        {
            "graceMs": _ms("--grace"),
            "signal": lambda value: (
                [f"--signal={value[3:]}"] if str(value).startswith("SIG") else None
            ),
        },
    ),
    "console_retry_job": _about_job("retry", {}),
    "console_send_job_input": _send,
    "console_list_jobs": _with_options(
        "list",
        {
            "status": lambda value: [f"--status={value}"] if value in (*Status, "active") else None,
            "sessionId": _value("--session"),
            "name": _value("--name"),
            "tags": _pairs("--tag"),
            "limit": _value("--limit", int),
            "cursor": _value("--cursor"),
        },
        ["--all"],
    ),
    "console_get_job_metrics": _with_options("metrics", {}, []),
    "console_cleanup_jobs": _with_options(
        "clean",
        {
            "maxAge": _ms("--older-than"),
            "keepCount": _value("--keep", int),
            "statuses": lambda value: (
                [f"--status={each}" for each in value]
                if isinstance(value, list) and value and set(value) <= _FINISHED
                else None
            ),
        },
        ["--all"],
    ),
    "console_create_session": _create_session,
    "console_send_input": _in_session("send", _type),
    "console_send_key": _in_session("key", _press),
    "console_get_screen": _in_session("screen", lambda rest: None if rest else []),
    "console_get_output": _in_session("logs", _session_output),
    "console_list_sessions": _list_sessions,
    "console_resize_session": _in_session("resize", _resize),
    "console_stop_session": _in_session(
        "stop", lambda rest: _options(rest, {"force": _switch("--force")})
    ),
}
