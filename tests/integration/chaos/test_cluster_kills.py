"""Worker, gateway and NATS server die at every named point of their work, and nobody who relied on the
cluster can tell.

Promise 28: accepted by the cluster means not lost. Promise 29: at most one worker runs an attempt. Each
point is one way to be killed in the middle of the same story; every run of a job in it leaves a note.
"""

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.chaos.crashing import serve_and_die, serve_and_kill
from tests.integration.fleet import GATEWAY, Fleet, running_fleet
from tests.waiting import PATIENCE, until_now

HOSTS = ("a", "b")
#: What a gateway does for the jobs of the story, and what a worker does; each can be died around.
STEPS_OF_GATEWAY = ("create pending", "hint", "update claimed", "update completed")
STEPS_OF_WORKER = (
    "update claimed",
    "insert Submitted Picked",
    "update Exited",
    "update completed",
    "update pending",
    "hint",
    "update failed",
    "update cancelled",
)


def points_of(*steps: str) -> list[str]:
    return [f"{side} {step}" for step in steps for side in ("before", "after")]


def tell(fleet: Fleet) -> None:
    """Live through the story and check at every turn what has been promised."""
    every = fleet.submit("every", "echo out", target="_all")
    retry = {"maxAttempts": 2, "backoffMs": 1}
    retried = fleet.submit("retried", "echo out; exit 3", target="a", retry=retry)
    one = fleet.submit("one", "echo out", target="_any")
    long = fleet.submit("long", "exec sleep 1000", target="a")
    assert _verdict(fleet.over(one)) == ("completed", 0, 1)
    assert _verdict(fleet.over(retried)) == ("failed", 3, 2)
    until_now(lambda: fleet.tend() or fleet.runs_of("long"), "what the command does first")
    fleet.insist(fleet.gateway.cancel, long)
    assert _verdict(fleet.over(long)) == ("cancelled", None, 1)
    group = fleet.over(every)
    assert [(each["host"], each["status"]) for each in group["children"]] == [
        ("a", "completed"),
        ("b", "completed"),
    ]
    for job_id in (one, retried, *(each["jobId"] for each in group["children"])):
        assert fleet.insist(fleet.gateway.output, job_id) == "out\n"
    for key, attempts in {"every": 2, "retried": 2, "one": 1, "long": 1}.items():
        begun = fleet.runs_of(key)
        assert len(begun) == begun.total() == attempts, (key, begun)


def _verdict(job: dict[str, Any]) -> tuple[str, int | None, int]:
    assert "lateResults" not in job and "refusals" not in job
    return job["status"], job["exitCode"], job["attempt"]


@pytest.mark.parametrize(
    ("part", "steps"),
    [
        (GATEWAY, STEPS_OF_GATEWAY),
        ("a", STEPS_OF_WORKER[:4]),
        ("a", STEPS_OF_WORKER[4:]),
    ],
    ids=["gateway", "worker until its result", "worker after a failure"],
)
def test_what_dies_around_its_steps_loses_repeats_and_forgets_nothing(
    part: str, steps: tuple[str, ...], tmp_path: Path
) -> None:
    passed = tmp_path / "passed"
    serves = [partial(serve_and_die, point, passed) for point in points_of(*steps)]
    with running_fleet(HOSTS, {part: serves}) as fleet:
        tell(fleet)
        until_now(lambda: fleet.tend() or fleet.have_died(), "everybody to have died")


@pytest.mark.parametrize(
    ("part", "points"),
    [
        (GATEWAY, points_of("create pending", "hint", "update completed")),
        (
            "a",
            [*points_of("update claimed", "update completed"), "before hint", "after run_exited"],
        ),
    ],
    ids=["gateway", "worker"],
)
def test_a_nats_server_that_is_killed_at_each_step_loses_repeats_and_forgets_nothing(
    part: str, points: list[str], tmp_path: Path
) -> None:
    passed = tmp_path / "passed"
    with running_fleet(HOSTS) as fleet:
        daemon = fleet.daemons[part]
        daemon.kill()
        daemon.start(partial(serve_and_kill, points, fleet.nats.pid_file, passed))
        fleet.await_status("a", "live")
        tell(fleet)
        numbers = itertools.count()

        def all_passed() -> bool:
            """What comes while the server is away passes by a point: then there is more to come."""
            fleet.tend()
            if set(points) <= set(passed.read_text().splitlines()):
                return True
            retry = {"maxAttempts": 2, "backoffMs": 1}
            more = fleet.submit(f"more-{next(numbers)}", "exit 3", target="a", retry=retry)
            assert _verdict(fleet.over(more)) == ("failed", 3, 2)
            return False

        until_now(all_passed, "the server to be killed at every point", patience=4 * PATIENCE)
