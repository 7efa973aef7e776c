"""A message is delivered at least once, whenever the daemon is killed."""

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.chaos.crashing import serve_and_die
from tests.integration.daemons import Daemon, killable
from tests.integration.receivers import Hooks, webhooks
from tests.waiting import until_now

KNOBS = {"webhook_allow_private": True, "notify_backoff_ms": 1, "notify_attempts": 100}


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with webhooks() as receiver:
        yield receiver


def submit(daemon: Daemon, *notify: dict[str, str]) -> str:
    return daemon.submit(f"{daemon.gate.wait}; exit 3", notify=list(notify))


@pytest.mark.parametrize("side", ["before", "during", "after"])
def test_a_daemon_that_dies_as_it_records_the_end_leaves_the_message_to_the_next(
    home: Path, hooks: Hooks, side: str
) -> None:
    serve = partial(serve_and_die, f"{side} update Exited", home / "passed")
    with killable(home, serve, **KNOBS) as daemon:
        job_id = submit(daemon, {"webhook": hooks.url()})
        daemon.gate.open()
        assert daemon.join() == -signal.SIGKILL
        if side != "after":  # then it may have been quick enough
            assert not hooks.received
        daemon.start()
        assert daemon.over(job_id)["exitCode"] == 3
        until_now(lambda: hooks.received, "the webhook")
        assert set(hooks.ids()) == {f"notification-{job_id}.1"}


def test_a_daemon_that_dies_as_it_delivers_leaves_the_message_to_the_next(
    home: Path, hooks: Hooks
) -> None:
    hooks.silent.add("/")
    with killable(home, **KNOBS) as daemon:
        job_id = submit(daemon, {"webhook": hooks.url()})
        daemon.gate.open()
        until_now(lambda: hooks.received, "the webhook")
        daemon.kill()
        hooks.silent.clear()
        daemon.start()
        until_now(lambda: len(hooks.received) == 2, "the webhook again")
        assert hooks.ids() == [f"notification-{job_id}.1"] * 2


def test_a_message_that_waits_for_its_next_try_outlives_the_daemon(
    home: Path, hooks: Hooks
) -> None:
    hooks.statuses.append(500)
    with killable(home, **KNOBS | {"notify_backoff_ms": 1_500}) as daemon:
        job_id = submit(daemon, {"webhook": hooks.url()})
        daemon.gate.open()
        until_now(lambda: hooks.received, "the first try")
        daemon.restart()
        until_now(lambda: len(hooks.received) == 2, "the next try")
        assert hooks.ids() == [f"notification-{job_id}.1"] * 2


def test_a_command_is_run_once_whatever_dies(home: Path) -> None:
    told = home / "told"
    serve = partial(serve_and_die, "after insert Submitted Picked", home / "passed")
    with killable(home, **KNOBS) as daemon:
        job_id = submit(daemon, {"command": f"echo $JOB_STATUS >> {told}"})
        daemon.kill()
        daemon.start(serve)
        daemon.gate.open()
        assert daemon.join() == -signal.SIGKILL  # the job that tells is on record, the rest is not
        daemon.start()
        until_now(told.exists, "the command")
        (notice,) = daemon.call("console_list_jobs", options={"tags": {"notify": job_id}})["jobs"]
        assert daemon.over(notice["id"])["status"] == "completed"
        assert told.read_text() == "failed\n"
