"""Promise 27 for sessions: bad input of any kind gets a structured error, and no key is pressed.

What cannot be said in JSON at all, and far too much of it, for every tool that takes a session; then
anything. The session it is aimed at has received nothing afterwards. (What is valid JSON but a bad
argument is in `behaviour/test_session_refusals.py`.)
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.integration.raw import RawBridge, bridge
from tests.integration.servers import Server
from tests.integration.test_bad_input import DEEP, message
from tests.waiting import until_now

#: What each tool takes, as text of JSON: the value to attack stands for `@`.
TOOLS = {
    "console_create_session": ['"command":@', '"args":[@]', '"options":{"cols":@}'],
    "console_execute_command": ['"command":@', '"args":[@]', '"options":{"timeout":@}'],
    "console_send_input": ['"input":@', '"enter":@', '"input":"x","enter":@'],
    "console_send_key": ['"key":@'],
    "console_get_output": ['"options":{"since":@}', '"options":{"grep":@}', '"options":@'],
    "console_wait_for_output": ['"pattern":@', '"pattern":"x","timeout":@', '"since":@'],
    "console_get_screen": ['"x":@'],
    "console_get_session_state": ['"waitMs":@'],
    "console_get_command_history": ['"limit":@'],
    "console_resize_session": ['"cols":@,"rows":24', '"cols":80,"rows":@'],
    "console_list_sessions": ['"limit":@', '"closed":@'],
    "console_stop_session": ['"force":@'],
    "console_cleanup_sessions": ['"options":{"olderThan":@}', '"options":{"inactive":@}'],
}
VALUES = {
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "1e999": "1e999",
    "1e308": "1e308",
    "a number with 10,000 digits": "9" * 10_000,
    "a NUL": '"a\\u0000b"',
    "half a surrogate pair": '"a\\ud800b"',
    "10 MB": '"' + "x" * 10_000_000 + '"',
    "an object": '{"a":1}',
    "a list": "[[],[1]]",
    "100,000 levels": "[" * DEEP + "]" * DEEP,
}

#: Prints what it is sent, whatever that is to a terminal.
PARROT = """
import os, tty
tty.setraw(0)
os.write(1, b"!")
while True:
    os.write(1, os.read(0, 4096))
"""


@pytest.fixture(scope="module")
def stdio(server: Server) -> Iterator[RawBridge]:
    """One bridge for all attacks: it has to outlive every one of them."""
    with bridge(server.home) as opened:
        yield opened


@pytest.fixture(scope="module")
def target(server: Server) -> Iterator[str]:
    """A session whose program never prints anything but what it is sent."""
    arguments = {"command": sys.executable, "args": ["-c", PARROT]}
    session_id: str = server.call("console_create_session", **arguments)["sessionId"]
    until_now(lambda: standing(server, session_id)[1], "a program that listens")
    yield session_id
    server.call("console_stop_session", sessionId=session_id, force=True)


def standing(server: Server, session_id: str) -> tuple[Any, ...]:
    """Return what no attack may change."""
    state = server.call("console_get_session_state", sessionId=session_id)
    view = state["session"]
    sessions = server.call("console_list_sessions", limit=1000)["sessions"]
    ids = [each["sessionId"] for each in sessions if each["status"] != "closed"]
    return view["status"], view["output"]["bytes"], view["cols"], view["rows"], len(ids)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_no_argument_is_answered_as_such(
    stdio: RawBridge, server: Server, target: str, tool: str, value: str
) -> None:
    before = standing(server, target)
    whose = "" if "list" in tool or "create" in tool or "clean" in tool else target
    for shape in TOOLS[tool]:
        owner = f'"sessionId":{json.dumps(whose)},' if whose else ""
        arguments = f"{{{owner}{shape.replace('@', value)}}}"
        stdio.send(message(7, "tools/call", f'{{"name":"{tool}","arguments":{arguments}}}') + b"\n")
        answer = stdio.hear()
        while "method" in answer:
            answer = stdio.hear()
        if "error" in answer:  # no JSON, or too much or too deep for any message
            assert answer["error"]["code"] < 0 and len(json.dumps(answer)) < 2000
        else:
            error = answer["result"]["structuredContent"]
            assert answer["result"]["isError"] is True, (shape, error)
            assert error["code"] == "INVALID_ARGUMENT", (shape, error)
            assert error["details"]["field"] and len(error["error"]) < 1000
    assert standing(server, target) == before


_FIELDS = ["sessionId", "command", "args", "input", "enter", "key", "options", "pattern", "timeout"]
_FIELDS += ["since", "ignoreCase", "cols", "rows", "limit", "closed", "waitMs", "x"]
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["since", "grep", "tail", "waitMs", "raw", "y"]), inner)
    ),
    max_leaves=5,
)
_READING = [
    "console_get_output",
    "console_wait_for_output",
    "console_get_screen",
    "console_get_session_state",
    "console_get_command_history",
    "console_list_sessions",
]


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    tool=st.sampled_from(_READING),
    arguments=st.dictionaries(st.sampled_from(_FIELDS), _ANYTHING, max_size=4),
    own=st.booleans(),
)
def test_whatever_is_asked_is_answered_or_refused(
    server: Server, target: str, tool: str, arguments: dict[str, Any], own: bool
) -> None:
    if own:
        arguments["sessionId"] = target
    view = server.call(tool, **arguments)
    assert view["success"] or view["code"] in ("INVALID_ARGUMENT", "SESSION_NOT_FOUND", "TIMEOUT")


@hypothesis_settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.text(max_size=80))
def test_any_text_that_can_be_typed_is_typed_and_harms_nobody(
    server: Server, target: str, text: str
) -> None:
    view = server.call("console_send_input", sessionId=target, input=text)
    if view["success"]:
        assert view["accepted"] <= len(text.encode())
    else:
        assert "\0" in text or any("\ud800" <= each <= "\udfff" for each in text)
    for tool in ("console_get_screen", "console_get_output"):
        seen = server.call(tool, sessionId=target)
        json.dumps(seen, ensure_ascii=False).encode()
        assert seen["success"]


def test_after_all_of_it_the_daemon_is_the_same_and_has_seen_no_surprise(
    server: Server, target: str
) -> None:
    assert server.ask("status")["pid"] == server.pid
    log = (server.home / "daemon.log").read_text()
    assert "Traceback" not in log and "listener failed" not in log
    assert server.call("console_get_session_state", sessionId=target)["success"]
