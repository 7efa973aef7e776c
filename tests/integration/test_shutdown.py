"""A daemon that is told to end: what becomes of its jobs, and how it makes room for a newer one."""

import asyncio
import json
import os
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from console_automation import __version__
from console_automation.engine.engine import Engine
from console_automation.engine.screens import Screens
from console_automation.errors import Unavailable
from console_automation.frontends import daemon as runner
from console_automation.frontends import launch
from console_automation.frontends.handshake import PROTOCOL
from console_automation.frontends.launch import DaemonUnavailable
from tests.integration.daemons import Daemon, killable, serve_as_installed, serve_as_version
from tests.integration.driven import open_session
from tests.processes import bearing, is_alive, new_mark
from tests.waiting import until_now

IN_AN_HOUR = {"maxAttempts": 2, "backoffMs": 3_600_000, "maxBackoffMs": 3_600_000}


def ask_to_stop(daemon: Daemon) -> None:
    assert daemon.ask({"ask": "stop"}) == {"stopping": True}


def phases(home: Path, *jobs: str) -> list[str]:
    """Return what the daemon that has ended knew of these jobs."""
    with closing(sqlite3.connect(home / "jobs.db")) as database:
        found = dict(database.execute("SELECT id, phase FROM job").fetchall())
    return [found[job] for job in jobs]


def send(number: signal.Signals, daemon: Daemon) -> None:
    os.kill(daemon.pid, number)


@pytest.mark.parametrize(
    "end",
    [partial(send, signal.SIGTERM), partial(send, signal.SIGINT), ask_to_stop],
    ids=["SIGTERM", "SIGINT", "stop"],
)
def test_running_jobs_go_on_when_the_daemon_is_told_to_end(home: Path, end: Any) -> None:
    """Promise 5, the ordinary way."""
    with killable(home, max_concurrent_jobs=1) as daemon:
        running = daemon.submit(f"{daemon.gate.wait}; echo done; exit 42")
        waiting = daemon.submit(f"touch {home}/ran")
        pid = daemon.running(running)["pid"]
        end(daemon)
        assert daemon.join() == 0
        assert not (home / "run" / "daemon.sock").exists()
        assert is_alive(pid) and not (home / "ran").exists()
        daemon.start()
        assert daemon.running(running)["pid"] == pid
        assert daemon.job(waiting)["status"] == "pending"
        daemon.gate.open()
        assert daemon.over(running)["exitCode"] == 42
        assert daemon.output(running) == "done\n"
        assert daemon.over(waiting)["exitCode"] == 0


def test_a_call_that_waits_does_not_keep_the_daemon_from_ending(home: Path) -> None:
    with killable(home) as daemon, ThreadPoolExecutor(1) as pool:
        job = daemon.submit("sleep 1000")
        waiting = pool.submit(daemon.call, "console_get_job_status", jobId=job, waitMs=45_000)
        os.kill(daemon.pid, signal.SIGTERM)
        with pytest.raises(DaemonUnavailable):
            waiting.result()
        assert daemon.join() == 0


def serve_and_never_end(home: Path) -> int:
    """Run a daemon with a second to end, in which something hangs."""

    async def hangs(engine: Engine) -> None:
        await asyncio.Event().wait()

    runner._ENDING_SECONDS = 1.0
    Engine.close = hangs  # type: ignore[method-assign]
    return serve_as_installed(home)


def test_a_daemon_that_cannot_end_is_ended_and_says_what_was_in_the_way(home: Path) -> None:
    with killable(home, serve_and_never_end) as daemon:
        running = daemon.submit(f"{daemon.gate.wait}; exit 42")
        pid = daemon.running(running)["pid"]
        daemon.terminate()
        assert daemon.join() == 1
        said = (home / "daemon.log").read_text()
        assert "should have ended by now, but for Daemon.run, line " in said
        assert "hangs, line " in said
        assert "Timeout (0:00:01)!" in said and "in select\n" in said  # where the threads stood
        daemon.start()
        assert daemon.running(running)["pid"] == pid
        daemon.gate.open()
        assert daemon.over(running)["exitCode"] == 42


def serve_and_draw_forever(home: Path) -> int:
    """Run a daemon in which no drawing of a screen comes to an end."""

    def draw(screens: Screens, *_: object) -> None:
        (home / "drawing").touch()
        threading.Event().wait()

    Screens._draw = draw  # type: ignore[method-assign,assignment]
    return serve_as_installed(home)


def test_a_screen_that_takes_forever_to_draw_does_not_keep_the_daemon_from_ending(
    home: Path,
) -> None:
    with killable(home, serve_and_draw_forever) as daemon, ThreadPoolExecutor(1) as pool:
        session = open_session(daemon, home)
        looking = pool.submit(daemon.call, "console_get_screen", sessionId=session.id)
        until_now((home / "drawing").exists, "a drawing")
        daemon.terminate()
        with pytest.raises(DaemonUnavailable):
            looking.result()
        assert daemon.join() == 0


def test_draining_waits_for_running_jobs_and_begins_no_other(home: Path) -> None:
    with killable(home, on_shutdown="drain", max_concurrent_jobs=2) as daemon:
        running = daemon.submit(f"{daemon.gate.wait}; exit 42")
        failing = daemon.submit(f"{daemon.gate.wait}; exit 3", retry=IN_AN_HOUR)
        waiting = daemon.submit(f"touch {home}/ran")
        for job in (running, failing):
            daemon.running(job)
        daemon.terminate()
        until_now(lambda: not (home / "run" / "daemon.sock").exists(), "the closed door")
        with pytest.raises(Unavailable, match="shutting down"):
            daemon.submit("exit 0")
        assert daemon.job(running)["status"] == "running"
        assert daemon.is_alive
        daemon.gate.open()
        assert daemon.join() == 0
        assert phases(home, running, failing, waiting) == ["failed", "delayed", "ready"]
        assert not (home / "ran").exists()
        daemon.start()
        assert daemon.job(running)["exitCode"] == 42
        assert daemon.job(failing)["waitingFor"].startswith("attempt 1 ended")
        assert daemon.over(waiting)["exitCode"] == 0


def test_draining_leaves_running_what_takes_too_long(home: Path) -> None:
    with killable(home, on_shutdown="drain", drain_timeout_ms=100) as daemon:
        job = daemon.submit(f"{daemon.gate.wait}; exit 42")
        pid = daemon.running(job)["pid"]
        daemon.terminate()
        assert daemon.join() == 0
        assert is_alive(pid)
        daemon.start()
        daemon.gate.open()
        assert daemon.over(job)["exitCode"] == 42


def test_stopping_ends_running_jobs_whole_and_leaves_pending_ones_pending(home: Path) -> None:
    mark = new_mark()
    stubborn = f"trap '' TERM; setsid sleep {mark} & while :; do sleep {mark}; done"
    with killable(home, on_shutdown="stop", max_concurrent_jobs=2) as daemon:
        running = [daemon.submit(line) for line in (f"sleep {mark}", stubborn)]
        waiting = daemon.submit(f"touch {home}/ran")
        until_now(lambda: len(bearing(mark)) >= 4, "the jobs' processes")
        daemon.terminate()
        assert daemon.join() == 0
        assert not bearing(mark) and not (home / "ran").exists()
        daemon.start()
        for job in running:
            over = daemon.job(job)
            assert (over["status"], over["reason"]) == ("cancelled", "cancelled")
        assert daemon.over(waiting)["exitCode"] == 0


# -- old and new ---------------------------------------------------------------------------------


@contextmanager
def hello(home: Path, *, protocol: int = PROTOCOL, version: str) -> Iterator[dict[str, Any]]:
    """Greet the daemon as a client of another release would, and yield its answer."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(home / "run" / "daemon.sock"))
        greeting = {
            "hello": "api",
            "protocol": protocol,
            "version": version,
            "pid": os.getpid(),
            "cwd": "/",
            "environment": {},
        }
        line.sendall(json.dumps(greeting).encode() + b"\n")
        with line.makefile("rb") as answers:
            yield json.loads(answers.readline())


def test_a_daemon_makes_room_for_a_newer_release_and_its_jobs_go_on(home: Path) -> None:
    with killable(home) as daemon:
        job = daemon.submit(f"{daemon.gate.wait}; exit 42")
        daemon.running(job)
        daemon.hang_up()
        with hello(home, version="99.0.0") as answer:
            assert (answer["ok"], answer["retiring"]) == (False, True)
        assert daemon.join() == 0
        daemon.start()
        daemon.gate.open()
        assert daemon.over(job)["exitCode"] == 42


def test_a_newer_release_is_served_as_long_as_retiring_would_disturb_others(home: Path) -> None:
    with killable(home) as daemon:
        with hello(home, version="99.0.0") as answer:
            assert answer["ok"] and answer["version"] == __version__
        assert daemon.is_alive


def test_a_newer_protocol_is_always_made_room_for(home: Path) -> None:
    with killable(home) as daemon:
        with hello(home, protocol=PROTOCOL + 1, version="99.0.0") as answer:
            assert (answer["ok"], answer["retiring"]) == (False, True)
        assert daemon.join() == 0


def test_a_client_with_an_older_protocol_is_told_to_upgrade_and_harms_nobody(home: Path) -> None:
    with killable(home) as daemon:
        with hello(home, protocol=PROTOCOL - 1, version="0.0.1") as answer:
            assert not answer["ok"] and "retiring" not in answer
            assert "this client 0.0.1 is too old for it; upgrade the client" in answer["error"]
        assert daemon.metrics()["totalJobs"] == 0


def test_a_new_client_replaces_an_old_daemon_and_finds_its_jobs(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 5: jobs survive an upgrade."""
    monkeypatch.setattr(launch, "__version__", "0.0.1")
    with killable(home, partial(serve_as_version, "0.0.1")) as daemon:
        job = daemon.submit(f"{daemon.gate.wait}; exit 42")
        daemon.running(job)
        daemon.hang_up()
        monkeypatch.setattr(launch, "__version__", __version__)
        with launch.connect(str(home), "api") as line:
            status = launch.exchange(line, {"ask": "status"})
            assert status["version"] == __version__
            assert daemon.join() == 0
            daemon.gate.open()
            assert daemon.over(job)["exitCode"] == 42
