"""The daemon is killed while workflows run, at named points and at random moments.

Promise 9 for workflows: every step runs once, after those it depends on and with their results, whatever
dies; an acknowledged run is there and comes to its end.
"""

import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.chaos.crashing import dying
from tests.integration.chaos.story import Client
from tests.integration.daemons import Caller, killable
from tests.waiting import until_now

#: Notes that it has run, and passes on what it was given with its own name added.
COMMAND = """
echo "$STEP" >> "$NOTES"; %s
printf '{"trail": "%%s"}' "$TRAIL$STEP" > "$CONSOLE_AUTOMATION_RESULT"
"""
SCHEMA = {"properties": {"step": {"type": "string"}, "trail": {"type": "string"}}}


class Person(Client):
    """Defines a job and workflows of it, and asks again when the daemon has died over a question."""

    def __init__(self, caller: Caller, revive: Callable[[], object], pause: str = "") -> None:
        super().__init__(caller, revive)
        self.notes = caller.home / "notes"
        self.ask(
            "console_register_job",
            name="note",
            command=COMMAND % pause,
            environment={"STEP": "{step}", "TRAIL": "{trail}", "NOTES": str(self.notes)},
            inputSchema=SCHEMA,
        )

    def ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        return self.insist(partial(self.caller.call, operation, **arguments))

    def begin(self, parents: dict[str, list[str]], **more: Any) -> str:
        steps = [
            {
                "id": step,
                "job": "note",
                "dependsOn": above,
                "input": {
                    "step": step,
                    "trail": {"$from": f"steps.{above[0]}.result.trail"} if above else "",
                },
            }
            for step, above in parents.items()
        ]
        self.ask("console_register_workflow", name="w", steps=steps, **more)
        run = self.ask("console_execute_workflow", name="w", idempotencyKey="once")["run"]
        run_id: str = run["runId"]
        return run_id

    def over(self, run_id: str) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            view = self.ask("console_get_workflow_status", runId=run_id, waitMs=500)
            return None if view["run"]["status"] in ("pending", "running") else view

        found = until_now(ended, f"the end of {run_id}")
        assert found
        return found

    def noted(self) -> list[str]:
        return self.notes.read_text().split() if self.notes.exists() else []


def check(person: Person, view: dict[str, Any], parents: dict[str, list[str]]) -> None:
    """Every step has run once, after its parents, and passed on what the first of these did."""
    noted = person.noted()
    assert view["run"]["status"] == "completed", view
    assert sorted(noted) == sorted(parents)
    trails = {each["id"]: each["result"]["trail"] for each in view["steps"]}
    for step, above in parents.items():
        assert all(noted.index(parent) < noted.index(step) for parent in above)
        assert trails[step] == (trails[above[0]] if above else "") + step


DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}


@pytest.mark.parametrize("write", ["add_run", "save_step", "save_run", "insert Submitted Picked"])
def test_daemons_that_die_around_a_write_lose_and_repeat_no_step(home: Path, write: str) -> None:
    points = [f"{side} {write}" for side in ("before", "during", "after")]
    with dying(home, points) as (daemon, revive):
        person = Person(daemon, revive)
        check(person, person.over(person.begin(DIAMOND)), DIAMOND)
        assert not points, "the story was over before a daemon died"


def test_whenever_the_daemon_dies_every_step_runs_once_and_in_its_order(home: Path) -> None:
    chance = random.Random(7)
    parents = {
        f"s{n}": [f"s{p}" for p in sorted(chance.sample(range(n), min(n, chance.randrange(3))))]
        for n in range(25)
    }
    with killable(home, max_concurrent_jobs=4) as daemon:
        person = Person(daemon, lambda: until_now(daemon.dial, "the next daemon"), "sleep 0.1;")
        run_id = person.begin(parents)
        kills = 0
        while len(person.noted()) < len(parents):
            time.sleep(chance.uniform(0.02, 0.25))
            daemon.restart()
            kills += 1
        check(person, person.over(run_id), parents)
        assert kills >= 3


def test_a_timeout_that_passes_while_no_daemon_is_there_ends_what_runs(home: Path) -> None:
    with killable(home, kill_grace_ms=200) as daemon:
        person = Person(daemon, lambda: None, "exec sleep 1000;")
        run_id = person.begin({"a": [], "b": ["a"]}, timeout=400)
        until_now(person.noted, "the first step")
        daemon.kill()
        began = time.monotonic()
        until_now(lambda: time.monotonic() - began > 0.4, "the timeout")
        daemon.start()
        view = person.over(run_id)
        assert (view["run"]["status"], view["run"]["reason"]) == ("failed", "timeout")
        steps = {each["id"]: each for each in view["steps"]}
        assert (steps["a"]["status"], steps["b"]["status"]) == ("cancelled", "skipped")
        assert daemon.over(steps["a"]["jobId"])["status"] == "cancelled"
        assert person.noted() == ["a"]
