"""The plain-data form: whatever was said comes back as it was, through real JSON."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console_automation.adapters.sqlite.rows import job_of, row_of
from console_automation.core import codec
from console_automation.core.job import (
    Cause,
    Command,
    Exit,
    Job,
    JobSpec,
    Leftover,
    Leftovers,
    OnOutputLimit,
    OutputCounts,
    Phase,
    Reason,
    TerminalSize,
    Usage,
)
from console_automation.core.notify import ANY_END, Channel, Notify
from console_automation.core.retry import RetryPolicy
from tests.builders import command, exit_of, spec

#: Also what bytes that are no UTF-8 turn into: lone surrogates.
TEXTS = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=20)
SECONDS = st.floats(0, 1e12, allow_nan=False)
COUNTS = st.integers(0, 1 << 62)
MAPS = st.dictionaries(TEXTS, TEXTS, max_size=3)
MAYBE = st.none() | TEXTS

COMMANDS = st.builds(
    Command,
    line=TEXTS,
    args=st.none() | st.lists(TEXTS, max_size=3).map(tuple),
    shell=st.booleans(),
    executable=TEXTS,
    argv=st.lists(TEXTS, max_size=3).map(tuple),
    cwd=TEXTS,
    environment=MAPS,
    stdin=MAYBE,
    keep_stdin=st.booleans(),
    merge_stderr=st.booleans(),
    timeout=st.none() | SECONDS,
    idle_timeout=st.none() | SECONDS,
    grace=SECONDS,
    output_limit=COUNTS,
    on_output_limit=st.sampled_from(OnOutputLimit),
    leftovers=st.sampled_from(Leftovers),
    terminal=st.none() | st.builds(TerminalSize, cols=COUNTS, rows=COUNTS),
    hang_up=st.booleans(),
)
RETRIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 100),
    backoff=SECONDS,
    multiplier=SECONDS,
    max_backoff=SECONDS,
    on=st.frozensets(st.sampled_from(Reason)),
)
NOTIFIES = st.builds(
    Notify,
    channel=st.sampled_from(Channel),
    target=TEXTS,
    on=st.frozensets(st.sampled_from(sorted(ANY_END))),
)
SPECS = st.builds(
    JobSpec,
    command=COMMANDS,
    created_at=SECONDS,
    client=TEXTS,
    name=MAYBE,
    session_id=MAYBE,
    priority=st.integers(1, 10),
    tags=MAPS,
    retry=RETRIES,
    depends_on=st.lists(TEXTS, max_size=3).map(tuple),
    even_if_failed=st.booleans(),
    notify=st.lists(NOTIFIES, max_size=2).map(tuple),
    idempotency_key=MAYBE,
    fingerprint=TEXTS,
    retry_of=MAYBE,
)
OUTPUTS = st.builds(OutputCounts, bytes=COUNTS, dropped_bytes=COUNTS, last_sequence=COUNTS)
EXITS = st.builds(
    Exit,
    cause=st.sampled_from(Cause),
    code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    error=MAYBE,
    started_at=st.none() | SECONDS,
    ended_at=SECONDS,
    output=OUTPUTS,
    usage=st.none() | st.builds(Usage, cpu_seconds=SECONDS, max_rss_bytes=COUNTS),
    leftovers=st.lists(
        st.builds(Leftover, pid=COUNTS, command=TEXTS, ended=st.booleans()), max_size=3
    ).map(tuple),
)
JOBS = st.builds(
    Job,
    id=TEXTS,
    spec=SPECS,
    phase=st.sampled_from(Phase),
    attempt=COUNTS,
    dispatches=COUNTS,
    run_id=MAYBE,
    output=OUTPUTS,
    boot_id=MAYBE,
    pid=st.none() | COUNTS,
    not_before=st.none() | SECONDS,
    started_at=st.none() | SECONDS,
    completed_at=st.none() | SECONDS,
    exit=st.none() | EXITS,
    reason=st.none() | st.sampled_from(Reason),
    error=MAYBE,
)


some = settings(max_examples=60, deadline=None)


def through_json(plain: dict[str, Any]) -> dict[str, Any]:
    sent = json.dumps(plain, allow_nan=False)
    assert sent.isascii()
    back: dict[str, Any] = json.loads(sent)
    return back


@some
@given(COMMANDS)
def test_a_command_comes_back_as_it_was(command: Command) -> None:
    assert codec.command_from_plain(through_json(codec.command_to_plain(command))) == command


@some
@given(SPECS)
def test_what_a_client_asked_for_comes_back_as_it_was(spec: JobSpec) -> None:
    assert codec.spec_from_plain(through_json(codec.spec_to_plain(spec))) == spec


@some
@given(EXITS)
def test_an_exit_comes_back_as_it_was(exit: Exit) -> None:
    assert codec.exit_from_plain(through_json(codec.exit_to_plain(exit))) == exit


@some
@given(JOBS)
def test_a_job_comes_back_from_its_row_as_it_was(job: Job) -> None:
    assert job_of(row_of(job)) == job  # type: ignore[arg-type]


def test_the_plain_form_has_every_field() -> None:
    for record, plain in (
        (command(), codec.command_to_plain(command())),
        (spec(), codec.spec_to_plain(spec())),
        (exit_of(), codec.exit_to_plain(exit_of())),
        (RetryPolicy(), codec.spec_to_plain(spec())["retry"]),
    ):
        assert set(plain) == set(type(record).__dataclass_fields__)


def test_a_field_that_an_older_version_did_not_write_has_its_default() -> None:
    plain = codec.command_to_plain(command(grace=1.0, keep_stdin=True))
    del plain["grace"], plain["keep_stdin"]
    assert codec.command_from_plain(plain) == command(grace=5.0, keep_stdin=False)


def test_a_terminal_that_an_older_version_wrote_is_hung_up() -> None:
    size = TerminalSize(cols=80, rows=24)
    plain = codec.command_to_plain(command(terminal=size))
    del plain["hang_up"]
    assert codec.command_from_plain(plain) == command(terminal=size, hang_up=True)


@pytest.mark.parametrize("word", ["on_output_limit", "leftovers"])
def test_a_word_nobody_knows_is_an_error_and_not_a_guess(word: str) -> None:
    with pytest.raises(KeyError, match="drop_all"):
        codec.command_from_plain({**codec.command_to_plain(command()), word: "drop_all"})
