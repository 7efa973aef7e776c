"""A run's processes, from the shim's side: who ended them, who was left, and when it is over."""

import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from console_automation.shim import processes as module
from console_automation.shim.processes import Processes, now
from console_automation.shim.tree import become_subreaper
from tests.processes import bearing, in_a_child, is_alive, new_mark
from tests.waiting import until_now

either_tree = pytest.mark.parametrize("subreaper", [True, False], ids=["descendants", "group"])


def begin(script: str, *, subreaper: bool, grace: float = 0.2, leave: bool = False) -> Processes:
    """Start a command as a shim does; returns when it has printed its first line."""
    if subreaper:
        become_subreaper("test")
    started = subprocess.Popen(
        ["/bin/sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE
    )
    assert started.stdout and started.stdout.readline()
    started.returncode = 0  # it is nobody's to wait for but ours
    return Processes(started.pid, subreaper=subreaper, leave=leave, grace=grace)


def drive(run: Processes) -> dict[str, Any]:
    """Do what the shim's loop does until the run is over, and say how it ended."""

    def step() -> bool:
        run.reap()
        if now() >= run.due:
            run.act()
        return run.are_over

    until_now(step)
    assert run.status is not None
    return {
        "code": None if os.WIFSIGNALED(run.status) else os.WEXITSTATUS(run.status),
        "signal": os.WTERMSIG(run.status) if os.WIFSIGNALED(run.status) else None,
        "cause": run.cause,
        "leftovers": run.leftovers,
        "left_nothing": run.left_nothing,
    }


def outcome(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = in_a_child(work)
    return found


CLEAN = {"code": 0, "signal": None, "cause": "exit", "leftovers": [], "left_nothing": True}


@either_tree
def test_a_command_that_ends_by_itself_ends_with_its_own_code(subreaper: bool) -> None:
    found = outcome(lambda: drive(begin("echo; exit 42", subreaper=subreaper)))
    assert found == CLEAN | {"code": 42}


@either_tree
def test_a_polite_signal_is_given_its_grace(subreaper: bool) -> None:
    def work() -> dict[str, Any]:
        run = begin("trap 'exit 7' TERM; echo; while :; do sleep 0.01; done", subreaper=subreaper)
        run.stop("cancel", signal.SIGTERM, grace=1000)
        return drive(run)

    assert outcome(work) == CLEAN | {"code": 7, "cause": "cancel"}


@either_tree
def test_whoever_is_deaf_is_killed_after_the_grace(subreaper: bool) -> None:
    def work() -> dict[str, Any]:
        run = begin("trap '' TERM; echo; exec sleep 1000", subreaper=subreaper)
        run.stop("timeout", signal.SIGTERM, grace=0.01)
        return drive(run)

    found = outcome(work)
    assert found == CLEAN | {"code": None, "signal": signal.SIGKILL, "cause": "timeout"}


@either_tree
def test_sigkill_has_no_grace(subreaper: bool) -> None:
    def work() -> dict[str, Any]:
        run = begin("echo; exec sleep 1000", subreaper=subreaper)
        run.stop("cancel", signal.SIGKILL, grace=1000)
        return drive(run)

    assert outcome(work) == CLEAN | {"code": None, "signal": 9, "cause": "cancel"}


@either_tree
def test_a_stop_that_comes_after_the_end_does_not_take_the_credit(subreaper: bool) -> None:
    """Promise 7: the command has ended by itself, even if nobody has looked yet."""

    def work() -> dict[str, Any]:
        run = begin("echo; exit 3", subreaper=subreaper)
        until_now(lambda: not is_alive(run.pid))
        run.stop("timeout", signal.SIGTERM, grace=0.01)
        return drive(run)

    assert outcome(work) == CLEAN | {"code": 3}


@either_tree
def test_the_first_to_ask_is_the_cause_and_the_shortest_grace_counts(subreaper: bool) -> None:
    def work() -> dict[str, Any]:
        run = begin("trap '' TERM; echo; exec sleep 1000", subreaper=subreaper)
        run.stop("idle_timeout", signal.SIGTERM, grace=1000)
        run.stop("cancel", signal.SIGTERM, grace=0.01)
        run.stop("timeout", signal.SIGTERM, grace=1000)
        return drive(run)

    assert outcome(work)["cause"] == "idle_timeout"


@either_tree
def test_what_is_left_behind_is_named_and_ended(subreaper: bool) -> None:
    """Promise 16."""
    mark = new_mark()

    has_begun = "until read name < /proc/$!/comm && [ $name = sleep ]; do :; done"

    def work() -> dict[str, Any]:
        return drive(begin(f"sleep {mark} & {has_begun}; echo", subreaper=subreaper))

    found = outcome(work)
    [left] = found.pop("leftovers")
    assert found == {key: CLEAN[key] for key in found} and left["ended"]
    assert bearing(mark) == []
    if subreaper:
        assert left["command"] == f"sleep {mark}"


@either_tree
def test_what_is_left_behind_may_be_let_be(subreaper: bool) -> None:
    """Promise 16."""
    mark = new_mark()

    def work() -> dict[str, Any]:
        return drive(begin(f"sleep {mark} & echo", subreaper=subreaper, leave=True))

    found = outcome(work)
    [pid] = bearing(mark)
    os.kill(pid, signal.SIGKILL)
    [left] = found["leftovers"]
    assert (left["ended"], found["left_nothing"], found["code"]) == (False, False, 0)
    if subreaper:
        assert left["pid"] == pid


@either_tree
def test_being_let_be_is_not_for_those_whose_end_was_asked_for(subreaper: bool) -> None:
    """Promise 14: the option is about a command that ends by itself."""
    mark = new_mark()

    def work() -> dict[str, Any]:
        run = begin(f"sleep {mark} & echo; sleep {mark}", subreaper=subreaper, leave=True)
        run.stop("cancel", signal.SIGTERM, grace=0.2)
        return drive(run)

    assert outcome(work) == CLEAN | {"code": None, "signal": 15, "cause": "cancel"}
    assert bearing(mark) == []


@either_tree
def test_a_process_that_cannot_be_killed_does_not_hold_the_job_up_for_ever(
    subreaper: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.DescendantTree, "kill", lambda self: self.survivors())
    monkeypatch.setattr(module.GroupTree, "kill", lambda self: self.survivors())
    mark = new_mark()

    def work() -> dict[str, Any]:
        return drive(begin(f"trap '' TERM; sleep {mark} & echo", subreaper=subreaper))

    found = outcome(work)
    [pid] = bearing(mark)
    os.kill(pid, signal.SIGKILL)
    assert [left["ended"] for left in found["leftovers"]] == [False]
    assert (found["code"], found["left_nothing"]) == (0, False)


def test_usage_counts_the_descendants_too() -> None:
    burn = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done"

    def work() -> dict[str, Any]:
        run = begin(f"echo; (({burn}) & wait); {burn}", subreaper=True)
        drive(run)
        return {"cpu": run.cpu_seconds, "rss": run.max_rss}

    found = outcome(work)
    assert found["cpu"] > 0.01 and found["rss"] > 500
