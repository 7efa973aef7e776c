"""What typed jobs of the cluster come to: large results, those of several workers, and what is none."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from console_automation.errors import Unavailable
from tests.integration.daemons import Daemon
from tests.integration.fleet import PATIENT, Fleet, running_fleet
from tests.integration.job_command import Shell
from tests.waiting import until_now

LARGE = 300_000
THREE = rb"\n3\n"  #: how the output of `seq 3` ends in a record


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
def begun(fleet: Fleet) -> Iterator[Callable[..., str]]:
    """Has lines run that go on after they have printed what ends like that; the record has a copy of it."""
    jobs: list[str] = []

    def begin(line: str, until: bytes = THREE, **options: Any) -> str:
        jobs.append(fleet.gateway.submit(f"{line}; exec sleep 300", target="w", **options))
        until_now(lambda: until in fleet.record(jobs[-1]), "a copy")
        return jobs[-1]

    yield begin
    for job_id in jobs:
        fleet.gateway.call("console_cancel_job", jobId=job_id, graceMs=0)


def test_while_a_worker_is_away_there_is_what_a_job_that_goes_on_had_printed(
    fleet: Fleet, begun: Callable[..., str]
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
    fleet: Fleet, begun: Callable[..., str]
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


def test_of_what_was_kept_as_of_any_output_the_last_lines_and_short_pages_can_be_had(
    fleet: Fleet, begun: Callable[..., str]
) -> None:
    job_id = begun("seq 3; echo 4 >&2", until=rb'"4\n"')
    with fleet.without("w"):
        asked = partial(fleet.gateway.call, "console_get_job_output", jobId=job_id)
        last = asked(options={"tail": 2})
        assert "".join(each["content"] for each in last["output"]) == "3\n4\n"
        first = asked(options={"limit": 1})
        assert [each["content"] for each in first["output"]] == ["1\n2\n3\n"]
        rest = asked(options={"maxBytes": 1, "since": first["nextSince"]})
        assert [each["content"] for each in rest["output"]] == ["4\n"]
        assert first["hasMore"] and not rest["hasMore"]


def test_of_a_later_attempt_there_is_what_was_kept_from_its_beginning_on(
    fleet: Fleet, begun: Callable[..., str], tmp_path: Path
) -> None:
    retry = {"maxAttempts": 2, "backoffMs": 0}
    job_id = begun(
        f"mkdir {tmp_path}/first 2>&- && exit 3; echo second", until=rb"second\n", retry=retry
    )
    with fleet.without("w"):
        for since in (0, 1):
            asked = {"since": since}
            page = fleet.gateway.call("console_get_job_output", jobId=job_id, options=asked)
            assert [each["content"] for each in page["output"]] == ["second\n"]
            assert page["nextSince"] == (1 << 32) + 1 and page["asOf"]


def test_who_has_read_all_of_a_failed_attempt_waits_for_the_next_whether_its_worker_is_there_or_not(
    fleet: Fleet,
) -> None:
    minute = {"maxAttempts": 2, "backoffMs": 60_000}
    job_id = fleet.gateway.submit("echo first; exit 3", target="w", retry=minute)

    def is_to_be_tried_again() -> bool:  # and not only its worker says so
        job = fleet.gateway.job(job_id)
        return (job["status"], job.get("reason")) == ("pending", "exit_code")

    until_now(is_to_be_tried_again, "its failure, in the record")
    with fleet.without("w"):
        page = fleet.gateway.call("console_get_job_output", jobId=job_id)
        assert [each["content"] for each in page["output"]] == ["first\n"]
        asked = {"since": page["nextSince"], "waitMs": 1}
        rest = fleet.gateway.call("console_get_job_output", jobId=job_id, options=asked)
        assert (rest["output"], rest["nextSince"]) == ([], page["nextSince"])
        assert rest["status"] == "pending" and "asOf" not in page
    fleet.gateway.cancel(job_id)


def test_a_person_is_told_that_what_they_see_of_a_job_is_old(
    fleet: Fleet, begun: Callable[..., str], tmp_path: Path
) -> None:
    job_id = begun("echo nearly done", until=rb"done\n")
    shell = Shell(fleet.gateway.home, tmp_path)
    with fleet.without("w"):
        page = fleet.gateway.call("console_get_job_output", jobId=job_id)
        shown = shell.job("logs", job_id)
        assert (shown.returncode, shown.stdout) == (0, "nearly done\n")
        assert f"cannot be reached; this is what it had told at {page['asOf']}" in shown.stderr
        fleet.await_status("w", "unreachable")
        assert "w has not been heard of for a while" in shell.job("status", job_id).stdout
