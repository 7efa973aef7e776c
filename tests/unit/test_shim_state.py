"""A run's state file: claimed once, written in place, believed only when it is whole."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console_automation.adapters import run_directory
from console_automation.adapters.shims import ShimHost
from console_automation.core.recovery import Hold
from console_automation.shim import state

EXIT: dict[str, Any] = {
    "cause": "exit",
    "code": 42,
    "signal": None,
    "error": None,
    "started_at": 1.0,
    "ended_at": 2.0,
    "output": {"bytes": 3, "dropped_bytes": 0, "last_sequence": 1},
    "usage": {"cpu_seconds": 0.5, "max_rss_bytes": 4096},
    "leftovers": [],
}
LATEST = 1 << 62


@pytest.fixture
def run(tmp_path: Path) -> str:
    return str(tmp_path / "job-1.1")


def is_held(directory: str) -> bool:
    fd = os.open(state.path(directory), os.O_RDWR)
    try:
        return not state.lock_if_free(fd)
    finally:
        os.close(fd)


def test_a_new_state_file_has_its_blocks_and_its_owner_and_says_nothing(run: str) -> None:
    fd = state.create(run)
    found = os.fstat(fd)
    assert (found.st_size, found.st_blocks * 512 >= state.SIZE) == (state.SIZE, True)
    assert found.st_mode & 0o777 == 0o600 and os.stat(run).st_mode & 0o777 == 0o700
    assert (state.read_start(fd), state.read_progress(fd), state.read_exit(fd)) == (None,) * 3
    assert is_held(run)
    os.close(fd)
    assert not is_held(run)


def test_the_records_come_back_and_do_not_touch_each_other(run: str) -> None:
    fd = state.create(run)
    state.write_exit(fd, EXIT)
    state.write_progress(fd, 3, 2, 1)
    state.write_start(fd, {"boot_id": "b" * 36, "at": 1.5})
    state.write_progress(fd, LATEST, LATEST, LATEST)
    assert state.read_start(fd) == {"boot_id": "b" * 36, "at": 1.5}
    assert state.read_progress(fd) == (LATEST, LATEST, LATEST)
    assert state.read_exit(fd) == EXIT
    assert os.fstat(fd).st_size == state.SIZE
    os.close(fd)


def test_a_run_is_claimed_by_one_shim_however_many_try(run: str) -> None:
    won: list[int] = []
    lost: list[str] = []
    start = threading.Barrier(8)

    def claim() -> None:
        start.wait()
        try:
            won.append(state.create(run))
        except state.Claimed as claimed:
            lost.append(str(claimed))

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    os.close(won[0])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_record_that_was_cut_or_changed_anywhere_is_no_record(
    tmp_path: Path, data: st.DataObject
) -> None:
    fd = os.open(tmp_path / f"state-{os.urandom(6).hex()}", os.O_RDWR | os.O_CREAT)
    state.write_start(fd, {"boot_id": "b", "at": 1.5})
    state.write_progress(fd, 300, 200, 100)
    state.write_exit(fd, EXIT)
    whole = os.pread(fd, state.SIZE, 0)
    for at, read in ((0, state.read_start), (1024, state.read_progress), (2048, state.read_exit)):
        length = len(whole[at : at + 1024].rstrip(b"\0"))
        place = at + data.draw(st.integers(0, length - 1))
        if data.draw(st.booleans()):
            torn = whole[:place] + bytes(at + length - place)
        else:
            torn = whole[:place] + bytes([whole[place] ^ 1 << data.draw(st.integers(0, 7))])
        os.pwrite(fd, torn[at:], at)
        found = read(fd)
        os.pwrite(fd, whole, 0)
        assert found is None or torn[at : at + length] == whole[at : at + length]
    os.ftruncate(fd, data.draw(st.integers(0, 1024)))
    assert (state.read_progress(fd), state.read_exit(fd)) == (None, None)
    os.close(fd)


def test_an_exit_record_keeps_what_matters_when_the_leftovers_are_many(run: str) -> None:
    fd = state.create(run)
    many = [{"pid": pid, "command": "é" * 80, "ended": True} for pid in range(200)]
    state.write_exit(fd, {**EXIT, "leftovers": many})
    found = state.read_exit(fd)
    assert found is not None and found["code"] == 42
    assert (
        0 < len(found["leftovers"]) < 200 and found["leftovers"] == many[: len(found["leftovers"])]
    )
    os.close(fd)


def test_an_exit_record_stays_readable_when_the_error_names_a_very_long_path(run: str) -> None:
    """Promise 5: or the daemon that comes back could not read how the run ended."""
    fd = state.create(run)
    error = "ENOEXEC: Exec format error: /" + "ü" * 4000
    state.write_exit(fd, {**EXIT, "error": error})
    found = state.read_exit(fd)
    assert found is not None and found["code"] == 42
    assert found["error"].startswith("ENOEXEC: Exec format error: /üü")
    os.close(fd)


# -- directories that are used again -------------------------------------------------------------


def used(directory: str) -> state.Blank:
    fd = state.create(directory)
    state.write_start(fd, {"boot_id": "b", "at": 1.0})
    state.write_progress(fd, 0, 0, 0)
    state.write_exit(fd, EXIT)
    return state.Blank(directory, fd)


def test_a_blank_moves_to_its_next_run_without_a_trace_of_the_last(run: str) -> None:
    blank = used(run)
    fd = blank.become(f"{run}2")
    assert not os.path.exists(run) and is_held(f"{run}2")
    assert (state.read_start(fd), state.read_progress(fd), state.read_exit(fd)) == (None,) * 3
    os.close(fd)


def test_a_blank_does_not_take_a_run_that_was_fenced_off(run: str) -> None:
    """Promise 3: whoever fenced the run has put its job back, so it must not begin here as well."""
    blank = used(run)
    assert run_directory.facts_of(f"{run}2").hold is Hold.FENCED
    with pytest.raises(state.Claimed):
        blank.become(f"{run}2")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(blank.fd)


def test_a_blank_that_was_cleaned_away_says_so(run: str) -> None:
    blank = used(run)
    os.unlink(state.path(run))
    os.rmdir(run)
    with pytest.raises(FileNotFoundError):
        blank.become(f"{run}2")


def test_a_directory_that_is_being_deleted_cannot_be_moved_to_a_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 3: or a run would lose its state file, and be taken for one that never began."""
    blank = used(str(tmp_path / "job-1.1"))
    host = ShimHost(
        runs=tmp_path,
        path=tmp_path / "shims.sock",
        boot_id="this-boot",
        max_idle=1,
        uses=1,
        log_file=tmp_path / "log",
    )
    moved: list[int] = []

    def meanwhile(*arguments: Any, **options: Any) -> None:
        monkeypatch.undo()
        try:
            moved.append(blank.become(str(tmp_path / "job-2.1")))
        except FileNotFoundError:
            pass  # the shim begins its run in a new directory
        os.unlink(*arguments, **options)

    monkeypatch.setattr(os, "unlink", meanwhile)
    host.discard("job-1.1")
    assert not (tmp_path / "job-1.1").exists()
    assert not moved or (tmp_path / "job-2.1" / "state").exists()


# -- what others make of it ----------------------------------------------------------------------


def test_a_run_that_never_began_is_fenced_off_for_good(run: str) -> None:
    """Promise 3: an order may reach a shim late, by any time."""
    assert run_directory.facts_of(run).hold is Hold.FENCED
    with pytest.raises(state.Claimed):
        state.create(run)
    assert run_directory.facts_of(run).hold is Hold.FENCED


def test_a_shim_that_made_the_directory_but_not_the_lock_loses_to_the_fence(run: str) -> None:
    os.mkdir(run)
    assert run_directory.facts_of(run).hold is Hold.FENCED


def test_the_facts_are_those_of_the_records_and_the_lock(run: str) -> None:
    """Promise 6: without an exit record and a live shim nothing is claimed to be known."""
    fd = state.create(run)
    assert run_directory.facts_of(run).hold is Hold.SHIM
    state.write_start(fd, {"boot_id": "b", "at": 1.0})
    state.write_progress(fd, 30, 20, 10)
    assert run_directory.facts_of(run).hold is Hold.SHIM
    os.close(fd)
    facts = run_directory.facts_of(run)
    assert (facts.hold, facts.started, facts.exit) == (Hold.NOBODY, True, None)
    assert facts.output and (facts.output.bytes, facts.output.last_sequence) == (30, 10)
    fd = os.open(state.path(run), os.O_RDWR)
    state.write_exit(fd, EXIT)
    os.close(fd)
    facts = run_directory.facts_of(run)
    assert facts.exit is not None and (facts.exit.code, facts.exit.signal) == (42, None)
