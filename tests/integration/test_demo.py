"""The demo that the README sends people to: it runs to its end, and it would not lie."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.waiting import PATIENCE

DEMO = Path(__file__).parents[2] / "demo"
LIE = """
import demo

async def lies(tour):
    "A step that is wrong"
    await tour.start("forgotten", "sleep 1000.SOME")
    demo.check("the moon is made of cheese", False)

raise SystemExit(demo.main("a tour", (demo.connects, lies)))
"""


def tour(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the demo's directory, as a person who looks at no terminal."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=DEMO,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE * 6,
        check=False,
    )


def state_directory(said: str) -> Path:
    found = re.search(r"state in (\S+)", said)
    assert found, said
    return Path(found[1])


def test_the_demo_shows_every_step_to_be_true() -> None:
    """Promises 5, 10, 12, 14, 16 at a glance, through the SDK's own client over stdio."""
    done = tour("demo.py")
    assert done.returncode == 0, done.stdout + done.stderr
    for proof in (
        "ok urgent ran before usual, usual before low",
        "ok nothing was missed and nothing came twice",
        "ok none of its processes is alive",
        "ok what it left is told, and was ended",
        "ok the job's exit code is the true one, 42",
        "ok its output is whole, ticks 1 to 6",
        "ok the states add up to all jobs, none is lost",
        "ok no process is left: no daemon, launcher, shim or job",
        "All of it is true.",
    ):
        assert proof in done.stdout
    assert "\x1b" not in done.stdout
    assert not state_directory(done.stdout).exists()


def test_the_sessions_demo_shows_every_step_to_be_true() -> None:
    """Promise 5 for sessions at a glance: bash, python, and vim over a killed daemon."""
    done = tour("sessions.py")
    assert done.returncode == 0, done.stdout + done.stderr
    for proof in (
        "ok directory and variables are kept",
        "ok what looks like a prompt is output, 3 is the code",
        "ok its session tells the exit code, 7",
        "ok vim is still there, with both lines",
        "ok it wrote its file and ended with 0",
        "All of it is true.",
    ):
        assert proof in done.stdout
    assert not state_directory(done.stdout).exists()


def test_the_demo_of_the_cluster_shows_every_step_to_be_true() -> None:
    """Promises 28 to 31 at a glance: four kinds of target, a worker and the NATS server killed."""
    done = tour("cluster.py")
    assert done.returncode == 0, done.stdout + done.stderr
    for proof in (
        "ok _all: it ran on all three",
        "ok group:web.dev: on web.dev.us and web.dev.eu",
        "ok the next worker there tells its end: exit code 42",
        "ok every end was told, with its code",
        "ok each of 16 jobs ran exactly once for each of its workers",
        "ok nothing was given up",
        "ok no process is left: no daemon, launcher, shim or job",
        "All of it is true.",
    ):
        assert proof in done.stdout


def test_a_step_that_is_not_true_ends_the_demo_with_a_plain_sentence_and_leaves_nothing() -> None:
    unique = str(time.time_ns())
    done = tour("-c", LIE.replace("SOME", unique))
    assert done.returncode == 1
    assert "NOT TRUE the moon is made of cheese" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not state_directory(done.stdout).exists()
    running = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    assert not [words for words in running if unique in " ".join(words or ())]
