"""Promises 14 and 15: every process of a run is found and ended, and no other is touched.

Each test plays the shim in a process of its own, so that "all my descendants" are the test's alone.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from console_automation.shim.tree import DescendantTree, GroupTree, Tree, become_subreaper
from tests.processes import RUNNER, bearing, in_a_child, is_held, new_mark
from tests.waiting import until_now

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


def group_tree(pid: int) -> Tree:
    return GroupTree(pid)


def descendant_tree(pid: int) -> Tree:
    return DescendantTree()


def without_lists_of_children(pid: int) -> Tree:
    tree = descendant_tree(pid)
    tree._listed = False  # type: ignore[union-attr]
    return tree


def without_pidfds(pid: int) -> Tree:
    tree = descendant_tree(pid)
    tree._has_pidfd = False  # type: ignore[union-attr]
    return tree


Plant = Callable[[int], Tree]
DESCENDANTS = [descendant_tree, without_lists_of_children, without_pidfds]
every_tree = pytest.mark.parametrize("plant", [*DESCENDANTS, group_tree])
descendants = pytest.mark.parametrize("plant", DESCENDANTS)


def start(plant: Plant, script: str, count: int, mark: str) -> Tree:
    """Start a command as a shim does and return its tree once `count` of its processes are there."""
    become_subreaper("test")
    process = subprocess.Popen(["/bin/sh", "-c", script.format(sleep=mark)], start_new_session=True)
    process.returncode = 0  # it is nobody's to wait for but ours
    until_now(lambda: len(bearing(mark)) >= count, script)
    return plant(process.pid)


def killed(plant: Plant, script: str, count: int) -> dict[str, Any]:
    """Have a tree kill a command, and say what is left of it."""
    mark = new_mark()

    def work() -> dict[str, Any]:
        tree = start(plant, script, count, mark)
        return {"immortal": tree.kill(), "alive": until_dead(mark)}

    return in_a_child(work)  # type: ignore[no-any-return]


def until_dead(mark: str) -> list[int]:
    """Return who is left; those who were killed get a moment to become zombies."""
    for _ in range(100):
        left = bearing(mark)
        if not left:
            break
        os.sched_yield()
    return left


IN_THE_GROUP = {
    "plain": ("exec sleep {sleep}", 1),
    "sequence": ("sleep {sleep}; sleep {sleep}", 2),
    "pipeline": ("sleep {sleep} | sleep {sleep}", 3),
    "background child": ("sleep {sleep} & sleep {sleep} & wait", 3),
    "orphan": ("(sleep {sleep} &); sleep {sleep}", 3),
    "deaf to TERM": ("trap '' TERM; sleep {sleep}; sleep {sleep}", 2),
}
OUTSIDE = {
    "own session": ("setsid sleep {sleep} & wait", 2),
    "double fork": ("(setsid sleep {sleep} &); sleep {sleep}", 3),
    "empty environment": ("(setsid env -i sleep {sleep} >&- 2>&- <&- &); sleep {sleep}", 3),
}


@every_tree
@pytest.mark.parametrize("shape", IN_THE_GROUP)
def test_nothing_in_the_group_is_left(plant: Plant, shape: str) -> None:
    assert killed(plant, *IN_THE_GROUP[shape]) == {"immortal": [], "alive": []}


@descendants
@pytest.mark.parametrize("shape", OUTSIDE)
def test_nothing_that_left_the_group_is_left(plant: Plant, shape: str) -> None:
    assert killed(plant, *OUTSIDE[shape]) == {"immortal": [], "alive": []}


@pytest.mark.parametrize("plant", [descendant_tree, without_pidfds])
def test_a_process_that_forks_and_exits_all_the_time_does_not_get_away(
    plant: Plant, tmp_path: Path
) -> None:
    lock = str(tmp_path / "lock")

    def work() -> bool:
        become_subreaper("test")
        process = subprocess.Popen([sys.executable, "-I", "-S", "-c", RUNNER, lock])
        until_now(lambda: is_held(lock))
        tree = plant(process.pid)
        # One look may miss it between two of its lives, so a shim repeats this until nobody is left.
        until_now(lambda: not tree.kill() and is_childless())
        return is_held(lock)

    assert not in_a_child(work)


def test_the_portable_tree_says_nothing_of_what_left_its_group() -> None:
    """The known limit of systems without subreapers; the documentation says so too."""
    mark = new_mark()

    def work() -> bool:
        tree = start(group_tree, "setsid sleep {sleep} & wait", 2, mark)
        until_now(lambda: len({os.getpgid(pid) for pid in bearing(mark)}) == 2)
        tree.kill()
        until_now(lambda: not is_childless() and not tree.survivors())
        return len(bearing(mark)) == 1

    assert in_a_child(work)
    [left] = bearing(mark)
    os.kill(left, signal.SIGKILL)


@every_tree
def test_a_signal_reaches_those_who_are_stopped(plant: Plant) -> None:
    mark = new_mark()

    def work() -> bool:
        tree = start(plant, "kill -STOP $$; exec sleep {sleep}", 1, mark)
        [pid] = bearing(mark)
        until_now(lambda: state_of(pid) == "T")
        tree.signal(signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
        return os.WTERMSIG(status) == signal.SIGTERM

    assert in_a_child(work)


@every_tree
def test_everybody_hears_the_polite_signal(plant: Plant) -> None:
    mark = new_mark()

    def work() -> bool:
        tree = start(plant, "sleep {sleep} & (sleep {sleep} &) ; sleep {sleep}", 4, mark)
        tree.signal(signal.SIGTERM)
        return until_now(lambda: not bearing(mark))

    assert in_a_child(work)


@every_tree
def test_survivors_are_those_who_have_not_ended(plant: Plant) -> None:
    mark = new_mark()

    def work() -> bool:
        tree = start(plant, "sleep {sleep} & exec sleep {sleep}", 2, mark)
        before = tree.survivors()
        tree.kill()
        return bool(before) and until_now(is_childless) and not tree.survivors()

    assert in_a_child(work)


@descendants
def test_a_process_that_is_no_descendant_is_never_signalled(plant: Plant) -> None:
    """Promise 15: a stale pid may be anybody's by now."""

    def work() -> bool:
        ours, stranger = (subprocess.Popen(["sleep", new_mark()]) for _ in range(2))
        tree = plant(0)
        tree._root = ours.pid  # type: ignore[union-attr]
        for pid in (stranger.pid, os.getpid(), os.getppid(), 1):
            tree._send(pid, signal.SIGKILL)  # type: ignore[union-attr]
        lives = stranger.poll() is None
        for process in (ours, stranger):
            process.kill()
            process.wait()
        return lives

    assert in_a_child(work)


@pytest.mark.skipif(not os.access(LAST_PID, os.W_OK), reason="needs a say in the next pid")
def test_a_pid_that_is_reused_between_the_look_and_the_signal_is_not_hit() -> None:
    """Promise 15: the pidfd was opened first, so it is still that of the one who is gone."""

    def work() -> bool | None:
        tree = descendant_tree(0)
        assert isinstance(tree, DescendantTree)
        for _ in range(50):
            victim = subprocess.Popen(["sleep", new_mark()])
            heir: list[subprocess.Popen[bytes]] = []

            def look(pid: int, victim: Any = victim, heir: Any = heir) -> bool:
                victim.kill()
                victim.wait()
                LAST_PID.write_text(str(pid - 1))
                heir.append(subprocess.Popen(["sleep", new_mark()]))
                return True

            tree._descends = look  # type: ignore[method-assign]
            tree._send(victim.pid, signal.SIGKILL)
            lives = heir[0].poll() is None
            heir[0].kill()
            heir[0].wait()
            if heir[0].pid == victim.pid:
                return lives
        return None

    result = in_a_child(work)
    if result is None:
        pytest.skip("other processes took the pid every time")
    assert result


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def is_childless() -> bool:
    """Reap whoever has ended; whether that was everybody."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False
