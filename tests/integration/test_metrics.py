"""The figures for Prometheus: documented names, bounded labels, true counts, the same everywhere."""

import http.client
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from console_automation.core.job import Reason, Status
from console_automation.core.session import Closing, CommandStatus
from tests.integration.servers import PROGRAM, Server, environment, serving
from tests.waiting import until_now

#: Every name that the operations guide may speak of, with its labels.
DOCUMENTED: dict[str, set[str]] = {
    "jobs": {"status"},
    "jobs_submitted_total": set(),
    "jobs_ended_total": {"status", "reason"},
    "runs_started_total": set(),
    "runs_recovered_total": {"outcome"},
    "output_bytes_total": set(),
    "output_dropped_bytes_total": set(),
    "leftover_processes_total": {"fate"},
    "queue_wait_seconds_count": set(),
    "run_seconds_count": set(),
    "store_commit_seconds_count": set(),
    "running": set(),
    "queued": set(),
    "slots": set(),
    "shim_failures": set(),
    "shims": {"state"},
    "sessions_open": set(),
    "sessions_opened_total": set(),
    "sessions_closed_total": {"closing"},
    "session_commands_total": {"status"},
}
LABELS = {
    "status": {status.value for status in (*Status, *CommandStatus)},
    "closing": {closing.value for closing in Closing},
    "reason": {reason.value for reason in Reason} | {""},
    "outcome": {Reason.LOST.value, Reason.REBOOT.value, "not_started"},
    "fate": {"ended", "alive"},
    "state": {"idle", "live"},
}
PREFIX = "console_automation_"


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A daemon whose counts are this module's alone."""
    with (
        tempfile.TemporaryDirectory(prefix="ca-", dir="/tmp", ignore_cleanup_errors=True) as home,
        serving(Path(home), http=True, max_concurrent_jobs=2) as running,
    ):
        yield running


def scraped(server: Server) -> str:
    """Return what Prometheus would get."""
    host, port = server.url.removeprefix("http://").split(":")
    with closing(http.client.HTTPConnection(host, int(port))) as connection:
        headers = {"Authorization": f"Bearer {server.token}"}
        connection.request("GET", "/metrics", headers=headers)
        return connection.getresponse().read().decode()


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return our own samples by name and labels."""
    return {
        (each.name.removeprefix(PREFIX), frozenset(each.labels.items())): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.name.startswith(PREFIX)
    }


def value(server: Server, name: str, **labels: str) -> float:
    """Return one sample, 0 for one that has not been counted yet."""
    return samples(scraped(server)).get((name, frozenset(labels.items())), 0.0)


def run(server: Server, command: str, **options: Any) -> str:
    """Run a job to its end and return its id."""
    started = server.call("console_execute_async", command=command, options=options)
    job_id: str = started["jobId"]
    until_now(
        lambda: not server.call("console_wait_for_jobs", jobIds=[job_id])["unfinished"], job_id
    )
    return job_id


def test_what_jobs_did_is_counted_exactly(own: Server) -> None:
    before = samples(scraped(own))
    run(own, "echo 12345")
    run(own, "exit 3")
    run(own, "kill -9 $$")
    run(own, "sleep 600", timeout=30)
    run(own, "yes | head -c 500000", outputLimitBytes=65_536)
    run(own, "exit 1", retry={"maxAttempts": 3, "backoffMs": 1})
    run(own, "sleep 600 & true")
    failed = run(own, "false")
    run(own, "true", dependsOn=[failed])
    live = [own.call("console_execute_async", command="sleep 600")["jobId"] for _ in range(3)]
    until_now(lambda: value(own, "running") == 2)
    assert (value(own, "queued"), value(own, "slots")) == (1, 2)
    assert value(own, "jobs", status="running") == 2
    assert value(own, "jobs", status="pending") == 1
    until_now(lambda: value(own, "shims", state="live") == 2)
    for job_id in reversed(live):
        own.call("console_cancel_job", jobId=job_id)
    after = samples(scraped(own))

    def grown(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return after.get(key, 0.0) - before.get(key, 0.0)

    assert grown("jobs_submitted_total") == 12
    ended = {
        ("completed", ""): 3,
        ("failed", "exit_code"): 3,
        ("failed", "signal"): 1,
        ("failed", "timeout"): 1,
        ("failed", "dependency"): 1,
        ("cancelled", "cancelled"): 3,
    }
    for (status, reason), count in ended.items():
        assert grown("jobs_ended_total", status=status, reason=reason) == count, (status, reason)
    assert grown("runs_started_total") == 12  # three of the retried one, none of two others
    assert grown("queue_wait_seconds_count") == 10
    assert grown("run_seconds_count") == 10
    assert grown("output_bytes_total") == 500_006
    assert 400_000 < grown("output_dropped_bytes_total") < 500_000
    assert grown("leftover_processes_total", fate="ended") == 1
    assert grown("store_commit_seconds_count") > 20
    assert after["running", frozenset()] == after["queued", frozenset()] == 0
    on_record = sum(count for (name, labels), count in after.items() if name == "jobs" and labels)
    assert on_record == own.totals()


def closed(server: Server, session_id: str) -> None:
    """Return when a session is closed."""
    state = "console_get_session_state"
    until_now(lambda: server.call(state, sessionId=session_id)["state"] == "closed", session_id)


def execute(server: Server, session_id: str, command: str) -> None:
    """Have a command executed in a session, and return when its end is known."""
    typed = server.call("console_execute_command", command=command, sessionId=session_id)
    history = "console_get_command_history"

    def is_over() -> bool:
        listed = server.call(history, sessionId=session_id)["commands"]
        latest = next(each for each in listed if each["commandId"] == typed["commandId"])
        return bool(latest["status"] != "running")

    until_now(is_over, command)


def test_what_sessions_did_is_counted_exactly(own: Server) -> None:
    before = samples(scraped(own))
    create, stop = "console_create_session", "console_stop_session"
    ids = [own.call(create, command="/bin/bash")["sessionId"] for _ in range(3)]
    assert value(own, "sessions_open") == 3
    for command in ("true", "true", "false"):
        execute(own, ids[0], command)
    own.call("console_resize_session", sessionId=ids[0], cols=90, rows=20)
    execute(own, ids[1], "exec kill -9 $$")
    execute(own, ids[2], "exit 3")
    for session_id in ids[1:]:
        closed(own, session_id)
    for _ in range(2):
        own.call(stop, sessionId=ids[0], force=True)
    own.call(create, command="x" * 300)  # refused: no session
    after = samples(scraped(own))

    def grown(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return after.get(key, 0.0) - before.get(key, 0.0)

    assert after["sessions_open", frozenset()] == 0
    assert grown("sessions_opened_total") == 3
    assert grown("sessions_closed_total", closing="exited") == 2
    assert grown("sessions_closed_total", closing="stopped") == 1
    ended = {"completed": 2, "failed": 2, "unknown": 1}
    for status, count in ended.items():
        assert grown("session_commands_total", status=status) == count, status
    assert sum(after[key] for key in after if key[0] == "sessions_closed_total") == 3


def labels_are_bounded(text: str) -> None:
    """Every label has one of the values that are known beforehand."""
    for name, labels in samples(text):
        for label, content in labels:
            assert label == "le" or content in LABELS[label], (name, label, content)


def test_the_names_and_labels_are_the_documented_ones(own: Server) -> None:
    run(own, "sleep 600 & true")
    text = scraped(own)
    labels_are_bounded(text)
    found: dict[str, set[str]] = {}
    for name, labels in samples(text):
        if not name.endswith(("_bucket", "_sum", "_created")):
            found.setdefault(name, set()).update(label for label, _ in labels)
    assert {name: labels for name, labels in DOCUMENTED.items() if name in found} == found
    of_sessions = {"sessions_closed_total", "session_commands_total"}
    assert set(DOCUMENTED) - set(found) <= {"runs_recovered_total", *of_sessions}


def test_the_command_line_prints_the_same_names(own: Server) -> None:
    printed = subprocess.run(
        [*PROGRAM, "metrics"],
        env=environment(own.home),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert set(samples(printed)) == set(samples(scraped(own)))
    assert "process_resident_memory_bytes" in printed
    assert len(re.findall(r"^# HELP console_automation_", printed, re.M)) >= len(DOCUMENTED) - 4


def test_nothing_a_client_writes_becomes_a_label_or_a_line(own: Server) -> None:
    """Promise 20: metric-label and log-line injection are inert."""
    attack = 'x"} 1\nconsole_automation_forged{a="\x1b[31m\n2026-01-01 CRITICAL forged: line'
    run(own, f"exit 1 # {attack}", tags={attack: attack})
    own.call("console_execute_async", command="true", options={"name": attack})
    own.call(attack)
    own.call("console_get_job_status", jobId=attack)
    own.call("console_execute_async", command=attack, args=[])
    own.call("console_execute_async", command="true", options={"workingDirectory": attack})
    own.call("console_get_job_output", jobId="x", options={"grep": f"({attack}"})
    text = scraped(own)
    assert "forged" not in text
    labels_are_bounded(text)
    log = (own.home / "daemon.log").read_text()
    assert "\x1b" not in log and "CRITICAL forged" not in log


def test_a_run_that_was_lost_is_counted_by_what_became_of_it(own: Server, tmp_path: Path) -> None:
    before = value(own, "runs_recovered_total", outcome="lost")
    pid_file = tmp_path / "pid"
    command = f"echo $PPID > {pid_file}; sleep 600"
    job_id = own.call("console_execute_async", command=command)["jobId"]
    shim = int(until_now(lambda: pid_file.exists() and pid_file.read_text()))
    os.kill(shim, 9)
    until_now(lambda: not own.call("console_wait_for_jobs", jobIds=[job_id])["unfinished"])
    assert value(own, "runs_recovered_total", outcome="lost") == before + 1
    assert value(own, "jobs_ended_total", status="interrupted", reason="lost") == 1
