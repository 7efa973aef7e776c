"""What typed jobs of the cluster come to: large results, those of several workers, and what is none."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from console_automation.errors import Unavailable
from tests.integration.daemons import Daemon
from tests.integration.fleet import PATIENT, Fleet, running_fleet
from tests.waiting import until_now

LARGE = 300_000


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    knobs = {**PATIENT, "cluster_copy_ms": 100, "toolsets": "jobs definitions workflows"}
    with running_fleet(("w",), **knobs) as running:
        yield running


@pytest.fixture
def gateway(fleet: Fleet) -> Daemon:
    return fleet.gateway


@pytest.fixture
def place(fleet: Fleet) -> Path:
    return fleet.place


@pytest.fixture
def large(gateway: Daemon) -> str:
    """A job whose result is larger than what a record keeps."""
    command = f"""printf '"%0{LARGE}d"' 0 > "$CONSOLE_AUTOMATION_RESULT" """
    gateway.call(
        "console_register_job",
        name="large",
        command=command,
        outputSchema={"type": "string"},
        target="w",
    )
    return "large"


def _run_of(gateway: Daemon, job: str) -> dict[str, Any]:
    gateway.call("console_register_workflow", name=job, steps=[{"id": "one", "job": job}])
    return gateway.call("console_execute_workflow", name=job, waitMs=30_000)


def test_a_result_that_its_record_does_not_keep_is_had_from_its_worker(
    gateway: Daemon, large: str
) -> None:
    done = gateway.call("console_execute_job", name=large)
    assert done["status"] == "completed"
    assert done.get("result") == "0" * LARGE


def test_a_large_result_reaches_the_step_that_waits_for_it(gateway: Daemon, large: str) -> None:
    run = _run_of(gateway, large)
    assert run["run"]["status"] == "completed", run["steps"]


def test_a_result_that_no_message_can_take_is_said_to_be_missing(gateway: Daemon) -> None:
    command = """printf '"%01048000d"' 0 > "$CONSOLE_AUTOMATION_RESULT" """
    gateway.call("console_register_job", name="largest", command=command, target="w")
    done = gateway.call("console_execute_job", name="largest")
    assert (done["status"], "result" in done) == ("completed", False)
    assert "bytes" in done["error"]


def test_a_step_for_several_workers_completes_though_it_has_no_one_result(gateway: Daemon) -> None:
    gateway.call(
        "console_register_job",
        name="each",
        command="""echo 7 > "$CONSOLE_AUTOMATION_RESULT" """,
        outputSchema={"type": "integer"},
        target="_all",
    )
    run = _run_of(gateway, "each")
    assert run["run"]["status"] == "completed", run["steps"]
    group = gateway.call("console_execute_job", name="each")
    [child] = gateway.over(group["jobId"])["children"]
    assert gateway.call("console_get_job_result", jobId=child["jobId"])["result"] == 7


@pytest.mark.parametrize("promised", [{"outputSchema": {"type": "integer"}}, {}])
def test_a_result_that_is_none_fails_what_is_carried_and_is_not_tried_again(
    gateway: Daemon, place: Path, promised: dict[str, Any]
) -> None:
    tries = place / f"tries-{len(promised)}"
    gateway.call(
        "console_register_job",
        name="none",
        command=f"""echo try >> {tries}; echo seven > "$CONSOLE_AUTOMATION_RESULT" """,
        target="w",
        retry={"maxAttempts": 2, "backoffMs": 1},
        **promised,
    )
    [step] = _run_of(gateway, "none")["steps"]
    assert (step["status"], step["reason"]) == ("failed", "result")
    assert tries.read_text() == "try\n"


@pytest.mark.parametrize("is_carried", [False, True])
def test_each_attempt_in_the_cluster_knows_its_number(
    gateway: Daemon, place: Path, is_carried: bool
) -> None:
    numbers = place / f"numbers-{is_carried}"
    gateway.call(
        "console_register_job",
        name="count",
        command=f"echo $CONSOLE_AUTOMATION_ATTEMPT >> {numbers}; exit 1",
        target="w",
        retry={"maxAttempts": 3, "backoffMs": 1},
    )
    if is_carried:
        _run_of(gateway, "count")
    else:
        gateway.call("console_execute_job", name="count")
    assert numbers.read_text().split() == ["1", "2", "3"]


def test_who_waits_for_output_waits_for_the_next_attempt_too(gateway: Daemon) -> None:
    retry = {"maxAttempts": 2, "backoffMs": 600_000}
    options = {"target": "w", "retry": retry}
    job = gateway.call("console_execute_async", command="echo one; exit 1", options=options)[
        "jobId"
    ]

    def page_of_the_first_attempt() -> dict[str, Any] | None:
        page = gateway.call("console_get_job_output", jobId=job)
        return page if page["output"] and page["status"] == "pending" else None

    page = until_now(page_of_the_first_attempt, "the end of the first attempt")
    began = time.monotonic()
    asked = {"since": page["nextSince"], "waitMs": 500}
    page = gateway.call("console_get_job_output", jobId=job, options=asked)
    assert time.monotonic() - began >= 0.5, "or who follows asks and asks"
    assert (page["output"], page["status"]) == ([], "pending")
    gateway.call("console_cancel_job", jobId=job)
    page = gateway.call("console_get_job_output", jobId=job, options=asked)
    assert (page["output"], page["status"]) == ([], "cancelled")


def test_while_a_worker_is_away_it_is_said_how_much_of_the_output_is_not_to_be_had(
    fleet: Fleet,
) -> None:
    line = "seq 20000; echo trouble >&2"
    job_id = fleet.gateway.submit(line, target="w")
    printed = fleet.gateway.over(job_id)["output"]["bytes"]
    with fleet.without("w"):
        page = fleet.gateway.call("console_get_job_output", jobId=job_id)
        options = {"stream": "stderr"}
        trouble = fleet.gateway.call("console_get_job_output", jobId=job_id, options=options)
    kept = sum(len(each["content"]) for each in page["output"])
    assert 0 < kept < printed == kept + page["droppedBytes"]
    assert page["firstAvailableSequence"] == page["output"][0]["sequenceNumber"] > 1
    assert [each["content"] for each in trouble["output"]] == ["trouble\n"]
    assert trouble["droppedBytes"] == page["droppedBytes"]


@pytest.fixture
def begun(fleet: Fleet) -> Iterator[Callable[[str], str]]:
    """Has lines run that end what they print with a 3 and go on, and of it all the record has a copy."""
    jobs: list[str] = []

    def begin(line: str) -> str:
        jobs.append(fleet.gateway.submit(f"{line}; exec sleep 300", target="w"))
        until_now(lambda: b'\\n3\\n"' in fleet.record(jobs[-1]), "a copy of all that is printed")
        return jobs[-1]

    yield begin
    for job_id in jobs:
        fleet.gateway.call("console_cancel_job", jobId=job_id, graceMs=0)


def test_while_a_worker_is_away_there_is_what_a_job_that_goes_on_had_printed(
    fleet: Fleet, begun: Callable[[str], str]
) -> None:
    job_id = begun("seq 3")
    with fleet.without("w"):
        page = fleet.gateway.call("console_get_job_output", jobId=job_id)
        assert [each["content"] for each in page["output"]] == ["1\n2\n3\n"]
        assert page["status"] == "running" and page["asOf"] > page["output"][0]["timestamp"]
        asked = {"since": page["nextSince"], "waitMs": 1_000}
        with pytest.raises(Unavailable):
            fleet.gateway.call("console_get_job_output", jobId=job_id, options=asked)
        assert fleet.gateway.job(job_id)["output"]["bytes"] == 6


def test_who_reads_on_while_a_worker_is_away_misses_nothing_that_it_still_has(
    fleet: Fleet, begun: Callable[[str], str]
) -> None:
    job_id = begun("seq 20000; echo; seq 3")
    with fleet.without("w"):
        with pytest.raises(Unavailable):
            fleet.gateway.call("console_get_job_output", jobId=job_id)
        latest = {"latest": True}
        page = fleet.gateway.call("console_get_job_output", jobId=job_id, options=latest)
        assert page["droppedBytes"] and page["output"][-1]["content"].endswith("1\n2\n3\n")
    asked = {"jobId": job_id, "options": {"limit": 1}}
    page = fleet.insist(fleet.gateway.call, "console_get_job_output", **asked)
    assert page["output"][0]["content"].startswith("1\n") and "asOf" not in page
