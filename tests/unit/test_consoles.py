"""The ConsoleManager over fakes that keep the ports' contracts: no process, no disk, no terminal."""

import asyncio
import itertools
from typing import Any

import pytest

from console_automation.core.job import TerminalSize
from console_automation.core.recovery import Hold, RunFacts
from console_automation.core.session import (
    Closing,
    Session,
    SessionPhase,
)
from console_automation.engine import consoles
from console_automation.engine.observer import RunOwners
from console_automation.errors import (
    LimitReached,
    SessionClosed,
    SessionNotFound,
    Unavailable,
)
from tests.builders import exit_of
from tests.unit.bench import OTHER_SIZE, SIZE, Make, NoObserver, break_store, spec
from tests.waiting import PATIENCE, until

# -- opening ---------------------------------------------------------------------------------------


async def test_a_session_is_on_record_when_it_is_opened_and_open_when_its_program_runs(
    make: Make,
) -> None:
    bench = await make()
    born = await bench.manager.create(spec())
    known = await bench.store.sessions.get(born.id)
    assert known and (born.phase, known.spec) == (SessionPhase.OPENING, born.spec)
    each = await bench.manager.opened(born.id, timeout=PATIENCE)
    assert (each.phase, each.pid) == (SessionPhase.OPEN, 1)
    assert bench.host.begun == [each.run_id]


async def test_no_more_sessions_are_open_than_may_be(make: Make) -> None:
    bench = await make(max_sessions=2)
    first, _ = [await bench.opened() for _ in range(2)]
    with pytest.raises(LimitReached, match="max_sessions"):
        await bench.manager.create(spec())
    assert len(bench.host.begun) == 2
    await bench.manager.stop(first.id, force=False, grace=1.0)
    await bench.closed(first)
    await until(lambda: len(bench.manager.live) == 1)
    await bench.opened()


async def test_no_more_sessions_are_open_than_may_be_when_many_are_asked_for_at_once(
    make: Make,
) -> None:
    bench = await make(max_sessions=3)
    asked = [bench.manager.create(spec()) for _ in range(10)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [each for each in answers if isinstance(each, LimitReached)]
    assert (len(refused), len(bench.host.begun)) == (7, 3)


async def test_a_session_that_cannot_be_stored_leaves_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await make(max_sessions=1)
    with monkeypatch.context() as broken:
        break_store(bench, broken)
        with pytest.raises(Unavailable, match="disk on fire"):
            await bench.manager.create(spec())
    assert not bench.host.begun and not bench.manager.live
    assert not await bench.manager.latest(limit=9)
    await bench.opened()


async def test_a_session_is_seen_through_when_who_asked_for_it_gives_up(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be on record as opening until the next restart."""
    bench = await make()
    save, held = bench.store.sessions.save, asyncio.get_running_loop().create_future()

    def slowly(each: Session) -> "asyncio.Future[None]":
        save(each)
        return held

    with monkeypatch.context() as slow:
        slow.setattr(bench.store.sessions, "save", slowly)
        asking = asyncio.create_task(bench.manager.create(spec()))
        await until(lambda: bench.manager.live)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    held.set_result(None)
    each = await bench.manager.opened("session-0001", timeout=PATIENCE)
    assert each.phase is SessionPhase.OPEN
    await bench.manager.stop(each.id, force=False, grace=1.0)
    assert (await bench.closed(each)).closing is Closing.STOPPED


async def test_a_session_that_cannot_be_begun_is_closed_and_says_why(make: Make) -> None:
    bench = await make()
    bench.host.refusal = "No space left on device"
    each = await bench.opened()
    over = await bench.closed(each)
    assert (over.closing, over.error) == (Closing.SPAWN_ERROR, "No space left on device")
    with pytest.raises(SessionClosed):
        await bench.manager.send(each.id, "x")
    await until(lambda: not bench.manager.live)


# -- ending ----------------------------------------------------------------------------------------


async def test_a_program_that_ends_closes_its_session(make: Make) -> None:
    bench = await make()
    each = await bench.opened("exit 3")
    over = await bench.closed(each)
    assert (over.closing, over.exit and over.exit.code) == (Closing.EXITED, 3)
    await until(lambda: bench.host.confirmed == [each.run_id])
    assert not bench.manager.live


async def test_an_end_that_cannot_be_stored_is_stored_later_and_not_confirmed_before(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consoles, "_RETRY_SECONDS", 0.01)
    bench = await make()
    each = await bench.opened()
    with monkeypatch.context() as broken:
        break_store(bench, broken)
        bench.host.finish(each.run_id, code=4)
        tries = itertools.count()
        await until(lambda: next(tries) > 20)
        assert (await bench.manager.get(each.id)).is_terminal and not bench.host.confirmed
        stored = await bench.store.sessions.get(each.id)
        assert stored and stored.phase is SessionPhase.OPEN
    over = await bench.closed(each)
    assert (over.closing, over.exit and over.exit.code) == (Closing.EXITED, 4)
    await until(lambda: bench.host.confirmed == [each.run_id])


async def test_a_stopped_session_is_closed_as_stopped_however_often_it_is_stopped(
    make: Make,
) -> None:
    bench = await make()
    each = await bench.opened()
    stops = [bench.manager.stop(each.id, force=False, grace=1.0) for _ in range(3)]
    answers = await asyncio.wait_for(asyncio.gather(*stops), PATIENCE)
    assert {(a.phase, a.closing) for a in answers} == {(SessionPhase.CLOSED, Closing.STOPPED)}
    over = await bench.closed(each)
    again = await bench.manager.stop(each.id, force=True, grace=1.0)
    assert again == over and over.exit and over.exit.signal == 1
    with pytest.raises(SessionNotFound):
        await bench.manager.stop("session-0", force=False, grace=1.0)


async def test_stopping_all_sessions_leaves_none_open(make: Make) -> None:
    bench = await make()
    opened = [await bench.opened() for _ in range(5)]
    await asyncio.wait_for(bench.manager.stop_all(grace=1.0), PATIENCE)
    assert {(await bench.closed(each)).closing for each in opened} == {Closing.STOPPED}


async def test_a_session_whose_shim_dies_is_lost_and_its_exit_code_not_known(make: Make) -> None:
    bench = await make()
    each = await bench.opened()
    bench.host.lose(each.run_id)
    over = await bench.closed(each)
    assert (over.closing, over.exit) == (Closing.LOST, None)


async def test_news_about_a_closed_session_is_confirmed_and_changes_nothing(make: Make) -> None:
    bench = await make()
    over = await bench.closed(await bench.opened("exit 3"))
    await until(lambda: not bench.manager.live)
    bench.host.confirmed.clear()
    bench.manager.run_exited(over.run_id, exit_of(9))
    assert bench.host.confirmed == [over.run_id]
    bench.manager.run_found(over.run_id, RunFacts(hold=Hold.NOBODY, started=True))
    bench.manager.run_started(over.run_id, pid=8, at=2.0)
    bench.manager.run_refused(over.run_id, "no")
    assert await bench.manager.get(over.id) == over


async def test_a_session_that_closes_while_it_is_resized_is_closed_and_that_is_all(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await make()
    each = await bench.opened()

    async def resize(run_id: str, size: TerminalSize) -> None:
        bench.host.finish(run_id, code=3)
        await until(lambda: not bench.manager.live)

    monkeypatch.setattr(bench.host, "resize", resize)
    after = await bench.manager.resize(each.id, OTHER_SIZE)
    assert (after.phase, after.size) == (SessionPhase.CLOSED, SIZE)


async def test_a_new_size_is_told_to_the_terminal_and_remembered(make: Make) -> None:
    bench = await make()
    each = await bench.opened()
    assert (await bench.manager.resize(each.id, OTHER_SIZE)).size == OTHER_SIZE
    assert bench.host.sizes == {each.run_id: OTHER_SIZE}

    async def is_stored() -> bool:
        stored = await bench.store.sessions.get(each.id)
        return stored is not None and stored.size == OTHER_SIZE

    await until(is_stored)


async def test_every_step_is_told_to_those_who_listen_and_a_bad_listener_harms_nobody(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    bench = await make()
    told: list[SessionPhase] = []

    def bad(each: Session) -> None:
        raise ValueError("bad listener")

    bench.manager.feed.listen(bad)
    leave = bench.manager.feed.listen(lambda each: told.append(each.phase))
    await bench.closed(await bench.opened("exit 3"))
    await until(lambda: not bench.manager.live)
    assert told == [SessionPhase.OPENING, SessionPhase.OPEN, SessionPhase.CLOSED]
    leave()
    await bench.opened()
    assert len(told) == 3 and "bad listener" in caplog.text


async def test_a_forgotten_session_is_not_there_any_more_and_its_output_goes(make: Make) -> None:
    bench = await make()
    over = await bench.closed(await bench.opened("exit 3"))
    await bench.manager.delete(over)
    assert bench.host.discarded == [over.run_id]
    assert await bench.manager.find(over.id) is None


# -- after a restart -------------------------------------------------------------------------------


async def test_after_a_restart_an_open_session_is_open_and_what_closed_meanwhile_is_closed(
    make: Make,
) -> None:
    bench = await make()
    goes_on, ends = await bench.opened(), await bench.opened()
    await bench.manager.close()
    bench.host._observer = RunOwners(NoObserver())  # type: ignore[arg-type]
    bench.host.finish(ends.run_id, code=6)
    await bench.open()
    over = await bench.closed(ends)
    assert (over.closing, over.exit and over.exit.code) == (Closing.EXITED, 6)
    assert await bench.manager.get(goes_on.id) == goes_on
    await until(lambda: [each.id for each in bench.manager.live] == [goes_on.id])


@pytest.mark.parametrize(
    ("boot", "phase", "closing"),
    [
        ("this-boot", SessionPhase.OPENING, Closing.LOST),
        ("this-boot", SessionPhase.OPEN, Closing.LOST),
        ("another-boot", SessionPhase.OPENING, Closing.REBOOT),
        ("another-boot", SessionPhase.OPEN, Closing.REBOOT),
    ],
)
async def test_after_a_restart_a_session_that_nobody_holds_is_closed(
    make: Make, boot: str, phase: SessionPhase, closing: Closing
) -> None:
    bench = await make()
    await bench.store.sessions.save(stored(phase, boot_id=boot))
    await bench.open()
    over = await bench.closed(stored(phase))
    assert (over.closing, over.exit) == (closing, None)


def stored(phase: SessionPhase, **fields: Any) -> Session:
    known: dict[str, Any] = {"boot_id": "this-boot", **fields}
    if phase is not SessionPhase.OPENING:
        known |= {"pid": 4711, "opened_at": 1.0}
    return Session(id="session-0001", spec=spec(), phase=phase, sizes=(), **known)


async def test_an_end_that_was_asked_for_is_seen_through_by_the_next_daemon(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon may die between the commit of the request and its way to the shim."""
    bench = await make()
    each = await bench.opened()
    with monkeypatch.context() as dying:
        dying.setattr(bench.host, "stop", lambda *args, **how: None)
        stopping = asyncio.create_task(bench.manager.stop(each.id, force=False, grace=9.0))
        await until(lambda: bench.manager.live[0].phase is SessionPhase.CLOSING)
        stopping.cancel()
    await bench.manager.close()
    await bench.open()
    assert (await bench.closed(each)).closing is Closing.STOPPED
