"""The life of a session: an event in, the session after it and the effects out."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console_automation.core.job import Cause, Exit, OutputCounts, Reason, TerminalSize
from console_automation.core.lifecycle import Event, Exited, Lost, NotStarted, Started, StopRun
from console_automation.core.recovery import Hold, RunFacts, verdict
from console_automation.core.session import (
    TRANSITIONS,
    Close,
    Closing,
    CommandStatus,
    Disconnected,
    Resized,
    Session,
    SessionCommand,
    SessionPhase,
    SessionSpec,
    Sizing,
    StopRequested,
    advance,
    new_session,
)
from console_automation.errors import InvalidTransition
from tests.builders import command, exit_of

RUN = "session-1.1"
SMALL, LARGE = TerminalSize(cols=80, rows=24), TerminalSize(cols=200, rows=50)
SPEC = SessionSpec(command=command(terminal=SMALL), created_at=1.0, client="test")
NEW = new_session("session-1", SPEC, boot_id="this-boot")
OPENING, OPEN, CLOSING, CLOSED = SessionPhase

STARTED = Started(at=2.0, run_id=RUN, pid=7)
EXITED = Exited(at=3.0, run_id=RUN, exit=exit_of(5))
CUT = Disconnected(at=3.0, run_id=RUN, exit=exit_of(255), why="the line was cut")
LOST = Lost(at=3.0, run_id=RUN, reason=Reason.LOST)
REBOOT = Lost(at=3.0, run_id=RUN, reason=Reason.REBOOT)
NEVER = NotStarted(at=3.0, run_id=RUN)
STOP = StopRequested(at=2.5, signal=1, grace=4.0)
RESIZED = Resized(at=2.5, size=LARGE)
EVENTS: tuple[Event, ...] = (STARTED, EXITED, CUT, LOST, REBOOT, NEVER, STOP, RESIZED)


def session(phase: SessionPhase = OPEN, **fields: Any) -> Session:
    if phase in (OPEN, CLOSING):
        fields = {"pid": 7, "opened_at": 2.0, **fields}
    if phase is CLOSED:
        fields = {"closing": Closing.EXITED, "closed_at": 3.0, **fields}
    return replace(NEW, phase=phase, **fields)


def test_a_new_session_is_opening_at_the_size_that_was_asked_for() -> None:
    assert (NEW.phase, NEW.run_id, NEW.size, NEW.is_live) == (OPENING, RUN, SMALL, True)
    assert NEW.sizes == (Sizing(at=1.0, size=SMALL),)


#: Every row of the table: before, what happens, after.
ROWS: list[tuple[SessionPhase, Event, SessionPhase]] = [
    (OPENING, STARTED, OPEN),
    (OPENING, EXITED, CLOSED),
    (OPENING, CUT, CLOSED),
    (OPENING, LOST, CLOSED),
    (OPENING, NEVER, CLOSED),
    (OPENING, STOP, CLOSING),
    (OPENING, RESIZED, OPENING),
    (OPEN, EXITED, CLOSED),
    (OPEN, CUT, CLOSED),
    (OPEN, LOST, CLOSED),
    (OPEN, STOP, CLOSING),
    (OPEN, RESIZED, OPEN),
    (CLOSING, STARTED, CLOSING),
    (CLOSING, EXITED, CLOSED),
    (CLOSING, CUT, CLOSED),
    (CLOSING, LOST, CLOSED),
    (CLOSING, NEVER, CLOSED),
    (CLOSING, STOP, CLOSING),
    (CLOSING, RESIZED, CLOSING),
]


@pytest.mark.parametrize(("before", "event", "after"), ROWS)
def test_an_event_leads_to_its_phase(
    before: SessionPhase, event: Event, after: SessionPhase
) -> None:
    new, effects = advance(session(before), event)
    assert new.phase is after
    assert (Close() in effects) is (after is CLOSED)
    assert (new.closing is not None and new.closed_at is not None) is (after is CLOSED)


def test_the_rows_above_are_all_there_are() -> None:
    assert set(TRANSITIONS) == {(before, type(event)) for before, event, _ in ROWS}
    assert not any(phase is CLOSED for phase, _ in TRANSITIONS)


@pytest.mark.parametrize(("before", "event"), [(OPEN, STARTED), (OPEN, NEVER)])
def test_what_is_not_in_the_table_cannot_happen(before: SessionPhase, event: Event) -> None:
    with pytest.raises(InvalidTransition):
        advance(session(before), event)


@pytest.mark.parametrize("event", EVENTS)
def test_a_closed_session_is_final(event: Event) -> None:
    over = session(CLOSED)
    assert advance(over, event) == (over, ())


@pytest.mark.parametrize(
    ("exit", "closing"),
    [
        (exit_of(0), Closing.EXITED),
        (exit_of(42), Closing.EXITED),
        (exit_of(None, signal=9), Closing.EXITED),
        (exit_of(None, signal=1, cause=Cause.CANCEL), Closing.STOPPED),
        (exit_of(0, cause=Cause.CANCEL), Closing.STOPPED),
        (exit_of(None, signal=1, cause=Cause.IDLE_TIMEOUT), Closing.IDLE),
        (exit_of(None, signal=1, cause=Cause.TIMEOUT), Closing.LIFETIME),
        (exit_of(None, cause=Cause.SPAWN_ERROR, error="ENOEXEC"), Closing.SPAWN_ERROR),
    ],
)
def test_the_exit_says_why_a_session_is_closed(exit: Exit, closing: Closing) -> None:
    over, effects = advance(session(), Exited(at=9.0, run_id=RUN, exit=exit))
    assert (over.closing, over.exit, over.error) == (closing, exit, exit.error)
    assert (over.closed_at, over.output) == (exit.ended_at, exit.output)
    assert effects == (Close(),)


def test_the_end_of_a_connection_is_told_apart_from_that_of_a_program() -> None:
    over, _ = advance(session(), CUT)
    assert (over.closing, over.exit) == (Closing.DISCONNECTED, CUT.exit)
    assert over.error == "the line was cut"


def test_a_session_that_was_not_seen_to_start_was_open_since_its_program_started() -> None:
    over, _ = advance(session(OPENING), EXITED)
    assert over.opened_at == EXITED.exit.started_at
    over, _ = advance(session(OPENING), replace(EXITED, exit=exit_of(None, started_at=None)))
    assert over.opened_at is None


def test_of_a_lost_session_the_end_is_not_known_and_the_last_progress_is() -> None:
    counts = OutputCounts(bytes=3, last_sequence=1)
    over, _ = advance(session(), replace(LOST, output=counts))
    assert (over.closing, over.exit, over.output) == (Closing.LOST, None, counts)
    over, _ = advance(session(output=counts), REBOOT)
    assert (over.closing, over.exit, over.output) == (Closing.REBOOT, None, counts)


def test_a_session_that_was_never_started_says_so_unless_its_end_was_asked_for() -> None:
    over, _ = advance(session(OPENING), NEVER)
    assert over.closing is Closing.LOST and over.error and "never started" in over.error
    stopped, _ = advance(NEW, STOP)
    over, _ = advance(stopped, NEVER)
    assert (over.closing, over.error) == (Closing.STOPPED, None)


def test_every_request_for_the_end_reaches_the_run() -> None:
    closing, effects = advance(session(), STOP)
    assert effects == (StopRun(run_id=RUN, signal=1, grace=4.0),)
    _, effects = advance(closing, replace(STOP, signal=9, grace=0.0))
    assert effects == (StopRun(run_id=RUN, signal=9, grace=0.0),)


def test_a_session_that_starts_while_it_is_being_closed_is_still_being_closed() -> None:
    closing, _ = advance(NEW, STOP)
    begun, effects = advance(closing, STARTED)
    assert (begun.phase, begun.pid, begun.opened_at, effects) == (CLOSING, 7, 2.0, ())


def test_the_sizes_of_a_terminal_are_remembered_with_their_times_and_not_without_end() -> None:
    resized, effects = advance(session(), RESIZED)
    assert (resized.size, effects) == (LARGE, ())
    assert resized.sizes == (Sizing(at=1.0, size=SMALL), Sizing(at=2.5, size=LARGE))
    for number in range(2000):
        resized, _ = advance(resized, Resized(at=3.0 + number, size=SMALL))
    assert len(resized.sizes) == 1000 and resized.sizes[-1].at == 2002.0


@given(st.lists(st.sampled_from(EVENTS), max_size=12))
@settings(max_examples=300, deadline=None)
def test_whatever_happens_in_whatever_order_a_session_closes_once(events: list[Event]) -> None:
    each, closings = NEW, 0
    for event in events:
        before = each
        try:
            each, effects = advance(each, event)
        except InvalidTransition:
            assert (before.phase, type(event)) not in TRANSITIONS
            continue
        closings += effects.count(Close())
        assert each is before or not before.is_terminal
        assert (each.id, each.spec, each.boot_id) == (NEW.id, NEW.spec, NEW.boot_id)
    assert closings == each.is_terminal


# -- what became of one while nobody looked --------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "facts", "boot", "closing"),
    [
        (OPEN, RunFacts(hold=Hold.SHIM), "this-boot", None),
        (OPENING, RunFacts(hold=Hold.SHIM), "this-boot", None),
        (CLOSING, RunFacts(hold=Hold.SHIM, started=True), "this-boot", None),
        (OPEN, RunFacts(hold=Hold.NOBODY, exit=exit_of(42)), "this-boot", Closing.EXITED),
        (OPENING, RunFacts(hold=Hold.NOBODY, exit=exit_of(42)), "this-boot", Closing.EXITED),
        (OPEN, RunFacts(hold=Hold.NOBODY, exit=exit_of(42)), "other-boot", Closing.EXITED),
        (
            CLOSING,
            RunFacts(hold=Hold.NOBODY, exit=exit_of(None, signal=1, cause=Cause.CANCEL)),
            "this-boot",
            Closing.STOPPED,
        ),
        (OPEN, RunFacts(hold=Hold.NOBODY, started=True), "this-boot", Closing.LOST),
        (CLOSING, RunFacts(hold=Hold.NOBODY, started=True), "this-boot", Closing.LOST),
        (OPEN, RunFacts(hold=Hold.NOBODY, started=True), "other-boot", Closing.REBOOT),
        (OPENING, RunFacts(hold=Hold.FENCED), "other-boot", Closing.REBOOT),
        (OPENING, RunFacts(hold=Hold.FENCED), "this-boot", Closing.LOST),
        # Its program ran, says the row; somebody has removed the run's directory.
        (OPEN, RunFacts(hold=Hold.FENCED), "this-boot", Closing.LOST),
    ],
)
def test_what_became_of_a_session_follows_from_the_row_and_the_facts(
    phase: SessionPhase, facts: RunFacts, boot: str, closing: Closing | None
) -> None:
    event = verdict(session(phase), facts, boot_id=boot, now=9.0)
    if closing is None:
        assert event is None
        return
    assert event is not None
    over, _ = advance(session(phase), event)
    assert (over.phase, over.closing, over.exit) == (CLOSED, closing, facts.exit)


# -- commands --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (0, CommandStatus.COMPLETED),
        (1, CommandStatus.FAILED),
        (255, CommandStatus.FAILED),
        (None, CommandStatus.UNKNOWN),
    ],
)
def test_a_command_without_an_exit_code_has_an_unknown_end(
    code: int | None, status: CommandStatus
) -> None:
    typed = SessionCommand(id="0" * 16, session_id="session-1", line="x", typed_at=1.0, since=4)
    over = typed.ended(at=2.0, exit_code=code, until=9)
    assert (over.status, over.exit_code, over.ended_at, over.until) == (status, code, 2.0, 9)
    assert typed.status is CommandStatus.RUNNING
