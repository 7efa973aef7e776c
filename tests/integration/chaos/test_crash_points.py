"""The daemon dies at every named point of its work, and nobody who relied on it can tell.

Promise 1: acknowledged means never lost. Promise 2: submission is idempotent per key, across a crash.
Promise 3: a run starts at most once per attempt. Promise 4: nothing stays stuck after a restart.
Promise 5: output and exact exit code are kept. Each point is one way for the daemon to be killed in
the middle of the same story; the checks are in `story.tell`.
"""

from functools import partial
from pathlib import Path

import pytest

from console_automation.frontends.launch import DaemonUnavailable
from tests.integration.chaos import story
from tests.integration.chaos.crashing import STORE, dying, serve_and_die
from tests.integration.daemons import killable

#: What a daemon does for the jobs of the story. It can die before and after each of these, and
#: during a write.
STEPS = (
    "insert Submitted",
    "insert Submitted Picked",
    "start",
    "run_started",
    "update Started",
    "run_exited",
    "update Exited",
    "confirm",
    "update Due",
    "update Picked",
    "discard",
    "update Unblocked",
    "update CancelRequested",
    "stop",
    "delete",
)
#: What the next daemon does besides, for a run whose order never reached a shim.
STEPS_OF_RECOVERY = ("adopt", "run_found", "update NotStarted")


def points_of(step: str) -> list[str]:
    is_write = step.startswith(STORE)
    sides = ("before", "during", "after") if is_write else ("before", "after")
    return [f"{side} {step}" for side in sides]


def live_through(home: Path, points: list[str]) -> set[str]:
    """Tell the story to one daemon after another, each dying at its point; return what was passed."""
    with dying(home, points, max_concurrent_jobs=3) as (daemon, revive):
        story.tell(story.Client(daemon, revive), daemon.gate)
        assert not points, "the story was over before a daemon died"
        story.nothing_kept(home / "runs")
    return set((home / "passed").read_text().splitlines())


@pytest.mark.parametrize("step", STEPS)
def test_daemons_that_die_around_a_step_lose_repeat_and_forget_nothing(
    home: Path, step: str
) -> None:
    live_through(home, points_of(step))


@pytest.mark.parametrize("step", STEPS_OF_RECOVERY)
def test_daemons_that_die_while_they_recover_lose_repeat_and_forget_nothing(
    home: Path, step: str
) -> None:
    live_through(home, ["before start", *points_of(step)])


def test_every_step_of_the_story_has_its_crash_points(home: Path) -> None:
    """A step that is added to the engine has to be added to the table above."""
    steps = {point.partition(" ")[2] for point in live_through(home, [])}
    assert steps == set(STEPS)


@pytest.mark.parametrize("point", ["after update CancelRequested", "before stop", "after stop"])
def test_a_cancellation_that_was_recorded_is_seen_through_by_the_next_daemon(
    home: Path, point: str
) -> None:
    with killable(home, partial(serve_and_die, point, home / "passed")) as daemon:
        job = daemon.submit("sleep 1000")
        daemon.running(job)
        with pytest.raises(DaemonUnavailable):
            daemon.cancel(job)
        daemon.join()
        daemon.start()
        over = daemon.over(job)
        assert (over["status"], over["exitCode"]) == ("cancelled", None)
