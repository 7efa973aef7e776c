"""Promise 27: bad input of any kind gets a structured error in bounded time, and harms nobody.

What cannot be said in JSON, or is no message, or is far too much of it, over stdio, the daemon's
socket and HTTP. After all of it the connection serves the next call and no job has come of it. (What
is valid JSON but a bad argument is in `behaviour/test_refusals.py` and `tests/unit/test_requests.py`.)
"""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from console_automation import paths
from tests.integration.raw import MODERN, RawBridge, bridge, dialled
from tests.integration.servers import Server
from tests.integration.test_http_access import good, send
from tests.waiting import PATIENCE

METRICS = "console_get_job_metrics"
DEEP = 100_000


def message(key: Any, method: str, params: str) -> bytes:
    """Return a request whose parameters are any text, JSON or not."""
    head = f'{{"jsonrpc":"2.0","id":{json.dumps(key)},"method":{json.dumps(method)}'
    return f'{head},"params":{params}}}'.encode("utf-8", "surrogatepass")


def started_with(options: str) -> bytes:
    """Return a request that would start a job if its options were right."""
    arguments = f'{{"command":"true","options":{options}}}'
    return message(7, "tools/call", f'{{"name":"console_execute_async","arguments":{arguments}}}')


NO_MESSAGES = {
    "no JSON": b"not json",
    "half a message": b'{"jsonrpc":"2.0","id":7,',
    "an array": b"[]",
    "a batch": b'[{"jsonrpc":"2.0","id":7,"method":"ping"}]',
    "null": b"null",
    "a number": b"5",
    "a string": b'"ping"',
    "an empty object": b"{}",
    "no method": b'{"jsonrpc":"2.0","id":7}',
    "another version": b'{"jsonrpc":"1.0","id":7,"method":"ping"}',
    "NUL bytes": b"\0\0\0",
    "no UTF-8": b'\xff\xfe{"jsonrpc":"2.0","id":7,"method":"ping"}',
    "two messages on a line": message(7, "ping", "{}") + message(8, "ping", "{}"),
    "a deep array": b"[" * DEEP + b"]" * DEEP,
    "a deep object": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "an open deep array": b"[" * DEEP,
    "an id that is an object": b'{"jsonrpc":"2.0","id":{},"method":"ping"}',
    "an id that is an array": b'{"jsonrpc":"2.0","id":[7],"method":"ping"}',
    "an id that is a fraction": b'{"jsonrpc":"2.0","id":7.5,"method":"ping"}',
    "a method that is a number": b'{"jsonrpc":"2.0","id":7,"method":5}',
    "parameters that are a string": message(7, "ping", '"x"'),
    "parameters that are an array": message(7, "tools/call", "[]"),
    "a lone surrogate": started_with('{"name":"\\ud800"}'),
    "raw surrogate bytes": started_with('{"name":"\ud800"}'),
    "a number with 10,000 digits": started_with('{"timeout":' + "9" * 10_000 + "}"),
    "deep arguments": started_with('{"tags":' + '{"a":' * DEEP + "1" + "}" * (DEEP + 1)),
}
REQUESTS = {
    "NaN": started_with('{"timeout":NaN}'),
    "Infinity": started_with('{"timeout":Infinity}'),
    "minus Infinity": started_with('{"waitMs":-Infinity}'),
    "1e999": started_with('{"timeout":1e999}'),
    "1e308": started_with('{"timeout":1e308}'),
    "an escaped NUL": started_with('{"name":"a\\u0000b"}'),
    "10 MB of text": started_with('{"stdin":"' + "x" * 10_000_000 + '"}'),
    "10 MB of a name": started_with('{"' + "x" * 10_000_000 + '":1}'),
    "a million names": started_with(json.dumps({str(n): n for n in range(1_000_000)})),
    "no tool": message(7, "tools/call", '{"name":"no-such-tool","arguments":{}}'),
    "10 MB of a tool's name": message(7, "tools/call", f'{{"name":"{"x" * 10_000_000}"}}'),
    "arguments that are an array": message(
        7, "tools/call", '{"name":"console_list_jobs","arguments":[]}'
    ),
    "a tool whose name is a number": message(7, "tools/call", '{"name":5}'),
    "no parameters": b'{"jsonrpc":"2.0","id":7,"method":"tools/call"}',
    "an unknown method": message(7, "no/such/method", "{}"),
    "a subscription without a resource": message(7, "resources/subscribe", "{}"),
    "a subscription without parameters": b'{"jsonrpc":"2.0","id":7,"method":"resources/subscribe"}',
    "a subscription to an object": message(7, "resources/subscribe", '{"uri":{}}'),
    "a second handshake": message(7, "initialize", '{"protocolVersion":"9","capabilities":5}'),
    "a progress token that is an object": message(
        7, "tools/call", '{"name":"console_list_jobs","_meta":{"progressToken":{}}}'
    ),
    "an unknown resource": message(7, "resources/read", '{"uri":"job://\\u0000"}'),
    "an unknown task": message(7, "tasks/get", '{"taskId":"x"}'),
}


@pytest.fixture(scope="module")
def stdio(server: Server) -> Iterator[RawBridge]:
    """One bridge for all attacks: it has to outlive every one of them."""
    with bridge(server.home) as opened:
        yield opened


@pytest.fixture(autouse=True)
def unharmed(server: Server) -> Iterator[None]:
    """Whatever a test does: the daemon is there afterwards, no job was started, nothing crashed."""
    before = server.totals()
    yield
    assert server.totals() == before
    assert server.ask("status")["pid"] == server.pid
    assert "Traceback" not in (server.home / "daemon.log").read_text()


@pytest.mark.parametrize("line", NO_MESSAGES.values(), ids=NO_MESSAGES)
def test_what_is_no_message_is_answered_as_such(stdio: RawBridge, line: bytes) -> None:
    stdio.send(line + b"\n")
    answer = stdio.hear()
    assert answer["id"] in (7, None)
    assert answer["error"]["code"] < 0 and 0 < len(answer["error"]["message"]) < 500
    assert stdio.call(METRICS)["success"]


@pytest.mark.parametrize("line", REQUESTS.values(), ids=REQUESTS)
def test_what_is_a_bad_request_is_answered_under_its_id(stdio: RawBridge, line: bytes) -> None:
    stdio.send(line + b"\n")
    answer = stdio.answer(7)
    if "error" in answer:
        assert answer["error"]["code"] < 0 and len(json.dumps(answer)) < 2000
    else:
        assert answer["result"]["isError"] is True
        error = answer["result"]["structuredContent"]
        assert error["code"] == "INVALID_ARGUMENT" and len(error["error"]) < 1000
    assert stdio.call(METRICS)["success"]


@pytest.mark.parametrize("late", [False, True], ids=["id first", "id last"])
def test_a_line_without_an_end_is_refused_once_it_has_one(stdio: RawBridge, late: bool) -> None:
    """The bridge keeps no more of it than it would pass on, and still knows whom to answer."""
    early_id, late_id = ("", ',"id":7') if late else ('"id":7,', "")
    head = '{"jsonrpc":"2.0",' + early_id + '"method":"ping","params":{"x":"'
    stdio.send(head.encode())
    for _ in range(40):
        stdio.send(b"x" * (1 << 20))
    status = Path(f"/proc/{stdio.process.pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    assert int(peak.split()[1]) < 100_000  # kB
    stdio.send(b'"}' + late_id.encode() + b"}\n")
    answer = stdio.answer(7)
    assert "may have" in answer["error"]["message"]
    assert stdio.call(METRICS)["success"]


def test_many_messages_in_one_write_and_one_message_in_many_writes(stdio: RawBridge) -> None:
    stdio.send(b"".join(message(f"burst-{n}", "ping", "{}") + b"\n" for n in range(500)))
    for number in range(500):
        assert "result" in stdio.answer(f"burst-{number}")
    for byte in message("slow", "ping", "{}") + b"\r\n":
        stdio.send(bytes([byte]))
    assert "result" in stdio.answer("slow")
    stdio.send(b"\n\r\n   \n")
    assert stdio.call(METRICS)["success"]


@pytest.mark.parametrize("key", ["ü", "\u2028", 'a"b\\c/d', "", 0, -5, "x" * 10_000])
def test_any_id_a_client_may_choose_comes_back(stdio: RawBridge, key: Any) -> None:
    stdio.send(message(key, "ping", "{}") + b"\n")
    assert "result" in stdio.answer(key)


# -- anything at all -------------------------------------------------------------------------------

ATTACK = hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck)
)
_LINES = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda text: text.encode("utf-8")),
    st.dictionaries(
        st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error", "x"]),
        st.one_of(
            st.sampled_from(["2.0", 7, "ping", "tools/call", "initialize", "tools/list", None]),
            st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists),
        ),
    ).map(lambda value: json.dumps(value).encode()),
)


@ATTACK
@given(lines=st.lists(_LINES, max_size=5))
def test_after_any_lines_whatever_the_next_request_is_served(
    stdio: RawBridge, lines: list[bytes]
) -> None:
    stdio.send(b"".join(line + b"\n" for line in lines))
    assert stdio.call(METRICS)["success"]


@ATTACK
@given(lines=st.lists(_LINES, max_size=5))
def test_the_command_lines_protocol_survives_the_same(server: Server, lines: list[bytes]) -> None:
    with dialled(server.home, "api") as wire:
        for line in lines:
            wire.send(line.replace(b"\n", b"") + b"\n")
            wire.hear()
        wire.say({"operation": METRICS, "arguments": {}})
        assert wire.hear()["view"]["success"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"operation":5}',
        b'{"operation":"console_list_jobs","arguments":[]}',
        b'{"operation":"console_list_jobs","arguments":"x"}',
        b'{"operation":"console_execute_async","arguments":{"command":"\\ud800"}}',
        b'{"operation":"console_execute_async","arguments":{"command":"a\\u0000"}}',
        b'{"operation":"console_get_job_output","arguments":{"jobId":"j","options":{"grep":"\\ud800"}}}',
        b'{"operation":"console_execute_async","arguments":{"command":"x","options":{"timeout":NaN}}}',
        b'{"ask":"nothing we know"}',
    ],
)
def test_a_bad_request_of_the_command_line_is_refused(server: Server, line: bytes) -> None:
    with dialled(server.home, "api") as wire:
        wire.send(line + b"\n")
        answer = wire.hear()
        assert answer["isError"] and answer["view"]["code"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    "hello",
    [
        b"",
        b"\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff\x00\n",
        b"[]\n",
        b'{"hello":"mcp"}\n',
        b'{"hello":"root","protocol":2,"version":"1","pid":1,"cwd":"/","environment":{}}\n',
        b'{"hello":["mcp"],"protocol":2,"version":"1","pid":1,"cwd":"/","environment":{}}\n',
        b'{"hello":"mcp","protocol":Infinity,"version":1,"pid":1,"cwd":"/","environment":{}}\n',
        b'{"hello":"mcp","protocol":2,"version":"1","pid":"x","cwd":"/","environment":{}}\n',
        b'{"hello":"mcp","protocol":2,"version":"1","pid":1,"cwd":"/","environment":[]}\n',
        b'{"hello":' + b"[" * DEEP + b"\n",
        b"x" * (17 << 20) + b"\n",
    ],
    ids=lambda hello: repr(hello[:40]),
)
def test_who_does_not_introduce_himself_is_hung_up_on(server: Server, hello: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(PATIENCE)
        line.connect(paths.daemon_socket(str(server.home)))
        try:
            line.sendall(hello)
            line.shutdown(socket.SHUT_WR)
            assert line.recv(100) == b""
        except ConnectionError:
            pass  # it did not even listen to the end


# -- HTTP ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [*NO_MESSAGES.values()], ids=[*NO_MESSAGES])
def test_what_is_no_message_is_refused_over_http(server: Server, line: bytes) -> None:
    text = line.decode("latin-1")
    status, body = send(server, "POST", "/mcp", list(good(server).items()), text)
    assert 400 <= status < 500, body[:300]
    assert len(body) < 1000 and b"Traceback" not in body
    assert send(server, "GET", "/healthz", list(good(server).items()))[0] == 200


@pytest.mark.parametrize(
    "arguments",
    [
        '{"command":"true","options":{"timeout":NaN}}',
        '{"command":"true","options":{"priority":"5"}}',
        '{"command":"a\\u0000b"}',
        '{"command":"true","options":{"tags":' + '{"a":' * 100 + "1" + "}" * 101 + "}",
    ],
)
def test_a_bad_argument_is_told_over_http_as_anywhere(server: Server, arguments: str) -> None:
    params = (
        f'{{"name":"console_execute_async","arguments":{arguments},"_meta":{json.dumps(MODERN)}}}'
    )
    body = message(1, "tools/call", params).decode()
    status, answer = send(server, "POST", "/mcp", list(good(server).items()), body)
    assert status == 200
    assert json.loads(answer)["result"]["structuredContent"]["code"] == "INVALID_ARGUMENT"
