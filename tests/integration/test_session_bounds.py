"""Promises 11 to 13 for sessions: whatever is printed, disk and memory are bounded, reads are exact,
and a full disk ends nothing. And how many sessions there may be, and for how long.
"""

import asyncio
import base64
import os
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from console_automation.app import App, open_app
from console_automation.config import Settings
from tests.conftest import CALM
from tests.integration.clients import Library
from tests.integration.conftest import Disk
from tests.integration.consoles import Console, opened
from tests.integration.servers import end_everything
from tests.integration.steps import ok, refused
from tests.integration.test_output_bounds import STATE_FILE, disk_of
from tests.processes import is_alive, parent_of, resident_bytes
from tests.waiting import until

LIMIT = 1 << 20
SHIM_BYTES = 32 << 20
DAEMON_GROWTH = 64 << 20
MANY = 100


@pytest.fixture(autouse=True)
def nothing_is_left(home: Path) -> Iterator[None]:
    """Sessions outlive the app that a test opens: end those that the test has left open."""
    yield
    end_everything(home)


@pytest.fixture
def settings() -> Settings:
    return Settings(**CALM, kill_grace_ms=500, output_limit_bytes=LIMIT)


@pytest.fixture
async def console(app: App, home: Path) -> AsyncIterator[Console]:
    """A session with a shell at its prompt."""
    console = await opened(Library(app), home, "bash", cols=80, rows=24)
    yield console
    await console.ok("console_stop_session", force=True)


def run_of(home: Path, console: Console) -> Path:
    return home / "runs" / f"{console.id}.1"


# -- input that nobody reads -----------------------------------------------------------------------


async def test_a_full_input_queue_says_so_and_is_emptied_by_an_interrupt(console: Console) -> None:
    typed = await console.start("sleep 1000", options={"timeout": 0})
    await console.becomes("executing")
    lines = {"sessionId": console.id, "input": "line\n" * 200_000}
    while not (answer := await console.client.call("console_send_input", lines)).is_error:
        assert answer.structured["accepted"] > 0
    assert answer.structured["code"] == "UNAVAILABLE"
    assert console.id in answer.text and "ctrl+c" in answer.text
    assert (await console.key("ctrl+c"))["accepted"] == 1
    assert (await console.ended(typed["commandId"]))["exitCode"] == 130
    assert (await console.run("echo next"))["output"] == "next\n"


# -- floods ----------------------------------------------------------------------------------------


class Watched:
    """The most that a session took of everything while it was watched."""

    def __init__(self, console: Console, home: Path, shell: int) -> None:
        self.console = console
        self.run = run_of(home, console)
        self.shim = parent_of(shell)
        self.most_disk = self.most_shim = self.most_daemon = 0

    async def printed(self) -> int:
        """Look at it once and return how much it has printed."""
        self.most_disk = max(self.most_disk, disk_of(self.run))
        self.most_shim = max(self.most_shim, resident_bytes(self.shim))
        self.most_daemon = max(self.most_daemon, resident_bytes(os.getpid()))
        state = await self.console.ok("console_get_session_state")
        count: int = state["session"]["output"]["bytes"]
        return count


async def watched(console: Console, home: Path) -> Watched:
    shell = (await console.ok("console_get_session_state"))["session"]["pid"]
    return Watched(console, home, shell)


async def test_a_program_that_never_stops_printing_stays_within_its_limit_and_can_be_interrupted(
    console: Console, home: Path
) -> None:
    before, flood = resident_bytes(os.getpid()), await watched(console, home)
    typed = await console.start("yes", options={"timeout": 0})

    async def has_printed_much() -> bool:
        await console.screen()
        return await flood.printed() > 50 << 20

    await until(has_printed_much)
    assert set((await console.screen()).split()) == {"y"}
    state = await console.ok("console_get_session_state")
    assert (state["state"], state["currentCommand"]["command"]) == ("executing", "yes")
    await console.key("ctrl+c")
    over = await console.ended(typed["commandId"])
    assert (over["status"], over["exitCode"]) == ("failed", 130)
    assert (await console.run("echo still here"))["output"].strip() == "still here"
    assert LIMIT // 2 < flood.most_disk <= LIMIT + STATE_FILE
    assert flood.most_shim < SHIM_BYTES and flood.most_daemon - before < DAEMON_GROWTH


async def test_64_megabytes_in_one_line_are_bounded_counted_and_their_exit_code_is_true(
    console: Console, home: Path
) -> None:
    before, flood = resident_bytes(os.getpid()), await watched(console, home)
    line = "head -c 67108864 /dev/zero | tr '\\0' x; (exit 7)"
    typed = await console.start(line, options={"timeout": 0})

    async def is_over() -> bool:
        await flood.printed()
        return (await console.ok("console_get_session_state"))["state"] == "idle"

    await until(is_over)
    over = await console.ended(typed["commandId"])
    assert over["exitCode"] == 7
    counts = (await console.ok("console_get_session_state"))["session"]["output"]
    assert counts["bytes"] > 64 << 20 > counts["droppedBytes"] > 62 << 20
    assert "x" * 80 in (await console.ok("console_get_screen"))["screen"]
    assert LIMIT // 2 < flood.most_disk <= LIMIT + STATE_FILE
    assert flood.most_shim < SHIM_BYTES and flood.most_daemon - before < DAEMON_GROWTH


# -- reads -----------------------------------------------------------------------------------------


async def raw_pages(console: Console, since: int, **bounds: Any) -> tuple[bytes, dict[str, Any]]:
    page = await console.ok("console_get_output", options={"since": since, "raw": True, **bounds})
    data = b"".join(base64.b64decode(chunk["content"]) for chunk in page["output"])
    return data, page


async def run_to_the_prompt(console: Console, line: str) -> None:
    """Run a line and return when the shell has drawn its next prompt: nothing is printed after that."""
    await console.run(f"PS1='ready> '; {line}")

    async def is_drawn() -> bool:
        data, _ = await raw_pages(console, 0, latest=True, maxBytes=100)
        return data.endswith(b"ready> ")

    await until(is_drawn, "the prompt")


async def test_any_partition_of_reads_by_cursor_gives_the_bytes_that_are_retained(
    console: Console, app: App
) -> None:
    """Promise 12, with several readers of whom each cuts differently, while more is printed."""
    await run_to_the_prompt(console, "stty -opost; seq 30000; printf 'häß ☃ %.0s' $(seq 5000)")

    async def read(number: int) -> bytes:
        chance, data, since, more = random.Random(number), b"", 0, True
        while more:
            bounds = {"maxBytes": chance.randint(1, 60_000), "limit": chance.randint(1, 20)}
            piece, page = await raw_pages(console, since, **bounds)
            data, since, more = data + piece, page["nextSince"], page["hasMore"]
        return data

    last = (await console.ok("console_get_session_state"))["session"]["output"]["lastSequence"]
    reads = await asyncio.gather(*(read(number) for number in range(12)))
    whole, page = await raw_pages(console, 0, maxBytes=1 << 20)
    assert not page["hasMore"] and page["nextSince"] == last
    assert reads == [whole] * 12
    counts = (await console.ok("console_get_session_state"))["session"]["output"]
    assert len(whole) == counts["bytes"] - counts["droppedBytes"]
    assert "".join(f"{number}\n" for number in range(1, 30_001)).encode() in whole
    assert ("häß ☃ " * 5000).encode() in whole


async def test_what_is_gone_is_declared_and_what_is_left_has_no_holes(console: Console) -> None:
    await run_to_the_prompt(console, "stty -opost; seq 400000")
    counts = (await console.ok("console_get_session_state"))["session"]["output"]
    data, since, more, first = b"", 0, True, None
    while more:
        piece, page = await raw_pages(console, since, maxBytes=50_000)
        first = first or page["firstAvailableSequence"]
        data, since, more = data + piece, page["nextSince"], page["hasMore"]
    assert counts["droppedBytes"] == counts["bytes"] - len(data) > 1 << 20
    assert first and first > 1
    numbers = data.partition(b"\n")[2].partition(b"400000\n")[0].split()
    assert numbers == [b"%d" % n for n in range(int(numbers[0]), 400_000)] and len(numbers) > 50_000


async def test_text_is_cut_at_no_character_however_small_the_pages(console: Console) -> None:
    await console.run("printf 'häß ☃ 😀%.0s' $(seq 3000)")
    text, since, more = "", 0, True
    while more:
        options = {"since": since, "maxBytes": 1}
        page = await console.ok("console_get_output", options=options)
        text += "".join(chunk["content"] for chunk in page["output"])
        since, more = page["nextSince"], page["hasMore"]
    assert "\ufffd" not in text and "häß ☃ 😀" * 3000 in text


# -- how many and for how long ---------------------------------------------------------------------


async def test_a_hundred_sessions_are_open_at_once_and_nothing_is_left_of_them(home: Path) -> None:
    this = psutil.Process()
    settings = Settings(**CALM, kill_grace_ms=2_000)
    async with open_app(home, settings) as app:
        client = Library(app)
        first = await opened(client, home, "bash")
        await first.ok("console_stop_session")
        before = this.num_fds()
        consoles = await asyncio.gather(*(opened(client, home, "bash") for _ in range(MANY)))
        assert (await ok(client, "console_list_sessions"))["open"] == MANY
        error = await refused(client, "console_create_session", command="bash")
        assert error["code"] == "LIMIT_REACHED" and "max_sessions" in error["error"]
        pids = [(await each.state())["session"]["pid"] for each in consoles]
        assert all(map(is_alive, pids)) and len(set(pids)) == MANY

        async def echoes(number: int, console: Console) -> None:
            await console.type(f"echo this-is-$(({number} + 1000))")
            await console.shows(f"this-is-{number + 1000}")

        await asyncio.gather(*(echoes(*each) for each in enumerate(consoles)))
        await asyncio.gather(*(each.ok("console_stop_session") for each in consoles))
        assert [(await each.closed())["closing"] for each in consoles] == ["stopped"] * MANY
        assert not any(map(is_alive, pids))
        assert (await ok(client, "console_list_sessions"))["open"] == 0
        shims = sum(app.engine.jobs.host.capacity.values())
        await until(lambda: this.num_fds() - shims <= before, "the descriptors to be closed")
        answer = await ok(client, "console_cleanup_sessions", options={"olderThan": 0})
        assert len(answer["removed"]) == MANY + 1
        assert not list((home / "runs").glob("session-*"))


async def test_a_session_may_be_opened_once_another_is_closed(home: Path) -> None:
    async with open_app(home, Settings(**CALM, max_sessions=2)) as app:
        client = Library(app)
        first, _ = [await opened(client, home, "cat", []) for _ in range(2)]
        error = await refused(client, "console_create_session", command="cat", args=[])
        assert error["code"] == "LIMIT_REACHED"
        assert "2 sessions are open" in error["error"]
        await first.ok("console_stop_session", force=True)
        await opened(client, home, "cat", [])


async def test_the_cap_and_the_limits_hold_for_sessions_of_the_daemon_before(home: Path) -> None:
    settings = Settings(**CALM, max_sessions=2, session_lifetime_ms=4_000, kill_grace_ms=200)
    async with open_app(home, settings) as app:
        consoles = [await opened(Library(app), home, "cat", []) for _ in range(2)]
    async with open_app(home, settings) as app:
        client = Library(app)
        error = await refused(client, "console_create_session", command="cat", args=[])
        assert error["code"] == "LIMIT_REACHED"
        for each in consoles:
            over = await Console(client, each.id).closed()
            assert over["closing"] == "lifetime"
        await opened(client, home, "cat", [])


async def test_an_idle_session_is_closed_and_one_that_prints_is_not(home: Path) -> None:
    settings = Settings(**CALM, session_idle_timeout_ms=1_000, kill_grace_ms=200)
    async with open_app(home, settings) as app:
        client = Library(app)
        busy = await opened(client, home, "/bin/sh", ["-c", "while :; do echo; sleep 0.05; done"])
        idle = await opened(client, home, "cat", [])
        over = await idle.closed()
        assert (over["closing"], "exitCode" in over) == ("idle", False)
        printed = len(await busy.printed())

        async def has_printed_more() -> bool:
            return len(await busy.printed()) > printed + 30

        await until(has_printed_more)
        assert (await busy.ok("console_get_session_state"))["session"]["status"] == "open"
        error = await refused(client, "console_send_input", sessionId=idle.id, input="x")
        assert error["code"] == "SESSION_CLOSED" and "idle" in error["error"]


# -- a full disk -----------------------------------------------------------------------------------


async def test_a_full_disk_kills_no_session_and_it_heals(disk: Disk, app: App, home: Path) -> None:
    console = await opened(Library(app), home, "bash")
    pid = (await console.state())["session"]["pid"]
    assert (await console.run("echo before"))["exitCode"] == 0
    disk.fill()
    lost = await console.start("seq 20000; (exit 3)", options={"timeout": 0})

    async def has_printed_much() -> bool:
        state = await console.ok("console_get_session_state")
        return bool(state["session"]["output"]["bytes"] > 100_000)

    await until(has_printed_much)
    assert is_alive(pid)
    disk.free()
    await console.key("enter")  # a prompt that can be written
    over = await console.ended(lost["commandId"])
    assert (over["status"], over["exitCode"]) in (("unknown", None), ("failed", 3))
    await console.idle()
    result = await console.run("echo after; (exit 4)")
    assert (result["exitCode"], result["output"].strip()) == (4, "after")
    counts = (await console.state())["session"]["output"]
    assert counts["droppedBytes"] > 0
    await console.type("exit 9")
    assert (await console.closed())["exitCode"] == 9


async def test_the_exit_code_of_a_session_is_kept_though_nothing_can_be_written(
    disk: Disk, app: App, home: Path
) -> None:
    console = await opened(Library(app), home, "bash")
    disk.fill()
    await console.start("seq 20000; exit 42", options={"timeout": 0})
    over = await console.closed()
    assert (over["closing"], over["exitCode"]) == ("exited", 42)
    assert over["output"]["bytes"] > 100_000


async def test_a_session_that_finds_no_room_says_so_and_leaves_nothing(
    disk: Disk, app: App, home: Path
) -> None:
    disk.fill()
    error = await refused(Library(app), "console_create_session", command="bash")
    assert "No space left" in error["error"]
    assert (await ok(Library(app), "console_list_sessions"))["open"] == 0
    disk.free()
    console = await opened(Library(app), home, "bash")
    assert (await console.run("echo here"))["output"].strip() == "here"
