"""Promise 5: how a command ended is known exactly: codes and signals told apart, nothing guessed."""

import asyncio
import os
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from console_automation.app import App, open_app
from console_automation.config import Settings
from console_automation.errors import CommandNotFound, PermissionDenied, WorkingDirectoryNotFound
from console_automation.shim import state
from tests.waiting import PATIENCE, until, until_now

WAIT_MS = PATIENCE * 1000
CODES = (0, 1, 2, 42, 126, 127, 128, 137, 139, 143, 255)
#: Pipes and a terminal.
WIRINGS: tuple[dict[str, Any], ...] = ({}, {"terminal": {}})
SIGNALS = ("TERM", "KILL", "SEGV", "ABRT", "HUP", "INT", "PIPE")


async def end_of(app: App, job_id: str) -> dict[str, Any]:
    job = await app.get_background_job_status(job_id, wait_ms=WAIT_MS)
    assert job.get("completedAt"), job
    return job


async def ends(
    app: App, commands: Mapping[Any, list[str]], **options: Any
) -> dict[Any, tuple[Any, ...]]:
    """Run programs with arguments and return status, reason, code and signal of each."""

    async def end(name: Any, command: list[str]) -> tuple[Any, tuple[Any, ...]]:
        job_id = await app.start_background_job(command[0], command[1:], **options)
        job = await end_of(app, job_id)
        return name, (job["status"], job.get("reason"), job["exitCode"], job.get("signal"))

    return dict(await asyncio.gather(*(end(*each) for each in commands.items())))


def expected(code: int) -> tuple[Any, ...]:
    return ("completed", None, 0, None) if code == 0 else ("failed", "exit_code", code, None)


@pytest.mark.parametrize("wiring", WIRINGS)
async def test_every_exit_code_is_the_commands_own(app: App, wiring: dict[str, Any]) -> None:
    found = await ends(app, {code: ["sh", "-c", f"exit {code}"] for code in CODES}, **wiring)
    assert found == {code: expected(code) for code in CODES}


async def test_every_exit_code_of_a_shell_line_too(app: App) -> None:
    jobs = {code: await app.start_background_job(f"true; exit {code}") for code in CODES}
    found = {code: await end_of(app, job_id) for code, job_id in jobs.items()}
    assert {code: job["exitCode"] for code, job in found.items()} == {code: code for code in CODES}
    assert all("signal" not in job for job in found.values())


@pytest.mark.parametrize("wiring", WIRINGS)
async def test_a_signal_is_told_apart_from_the_code_that_shells_make_of_it(
    app: App, wiring: dict[str, Any]
) -> None:
    found = await ends(app, {name: ["sh", "-c", f"kill -{name} $$"] for name in SIGNALS}, **wiring)
    assert found == {name: ("failed", "signal", None, f"SIG{name}") for name in SIGNALS}
    by_shell = await ends(app, {9: ["sh", "-c", "sh -c 'kill -KILL $$'; exit $?"]}, **wiring)
    assert by_shell == {9: ("failed", "exit_code", 137, None)}


async def test_a_shell_says_127_and_126_for_what_it_cannot_run(app: App, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("text")
    found = await ends(
        app,
        {
            127: ["sh", "-c", "no-such-program-anywhere; exit $?"],
            126: ["sh", "-c", f"{tmp_path}/plain; exit $?"],
        },
    )
    assert found == {127: expected(127), 126: expected(126)}


async def test_what_can_be_known_before_makes_no_job(app: App, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("text")
    with pytest.raises(CommandNotFound):
        await app.start_background_job("no-such-program-anywhere", [])
    with pytest.raises(PermissionDenied):
        await app.start_background_job(str(tmp_path / "plain"), [])
    with pytest.raises(WorkingDirectoryNotFound):
        await app.start_background_job("true", [], working_directory=str(tmp_path / "none"))
    assert (await app.get_background_job_metrics())["totalJobs"] == 0


async def test_what_only_exec_finds_out_ends_the_job_with_the_errno(
    app: App, tmp_path: Path
) -> None:
    found = {}
    for name, text in {"ENOENT": "#!/no/such/interpreter\n", "ENOEXEC": "no magic\n"}.items():
        program = tmp_path / name
        program.write_text(text)
        program.chmod(0o755)
        job = await end_of(app, await app.start_background_job(str(program), []))
        found[name] = job["status"], job["reason"], job["exitCode"]
        assert job["error"].startswith(f"{name}: ") and job["error"].endswith(str(program))
    assert found == dict.fromkeys(found, ("failed", "spawn_error", None))


async def test_a_directory_that_goes_before_its_job_starts_is_what_the_error_names(
    home: Path, tmp_path: Path
) -> None:
    settings = Settings(max_load_per_cpu=0, max_memory_percent=0, max_concurrent_jobs=1)
    directory = tmp_path / "short-lived"
    directory.mkdir()
    async with open_app(home, settings) as app:
        first = await app.start_background_job("cat", [], keep_stdin=True)
        job_id = await app.start_background_job("true", [], working_directory=str(directory))
        directory.rmdir()
        await app.call("console_cancel_job", jobId=first)
        job = await end_of(app, job_id)
    assert (job["status"], job["reason"]) == ("failed", "spawn_error")
    assert job["error"].startswith("ENOENT: ") and job["error"].endswith(str(directory))


async def test_the_record_says_what_the_run_cost(app: App) -> None:
    script = "x = b'x' * (80 << 20)\nsum(range(1_000_000))"
    job = await end_of(app, await app.start_background_job("python3", ["-S", "-c", script]))
    assert job["usage"]["maxRssBytes"] > 80 << 20
    assert 0.001 < job["usage"]["cpuSeconds"] < PATIENCE


# -- while nobody looks --------------------------------------------------------------------------


def has_exit_record(home: Path, job_id: str) -> bool:
    fd = os.open(home / "runs" / f"{job_id}.1" / "state", os.O_RDONLY)
    try:
        return state.read_exit(fd) is not None
    finally:
        os.close(fd)


async def found_afterwards(
    home: Path, settings: Settings, commands: Mapping[str, list[str]], **options: Any
) -> dict[str, tuple[Any, ...]]:
    """Start jobs, close the product, let them end, and return what the next opening says of them."""
    go = home / "go"
    async with open_app(home, settings) as app:
        jobs = {
            name: await app.start_background_job(
                "sh", ["-c", f"until [ -e {go} ]; do sleep 0.01; done; {command}"], **options
            )
            for name, [command] in commands.items()
        }
        for job_id in jobs.values():
            await until(lambda job_id=job_id: has_begun(app, job_id))
    go.touch()
    for job_id in jobs.values():
        until_now(lambda job_id=job_id: has_exit_record(home, job_id))
    async with open_app(home, settings) as app:
        found = {name: await end_of(app, job_id) for name, job_id in jobs.items()}
        outputs = {
            name: await app.get_background_job_output(job_id, raw=True)
            for name, job_id in jobs.items()
        }
    return {
        name: (
            job["status"],
            job["exitCode"],
            job.get("signal"),
            b"".join(b64decode(chunk["content"]) for chunk in outputs[name]["output"]).decode(),
        )
        for name, job in found.items()
    }


async def has_begun(app: App, job_id: str) -> bool:
    return "startedAt" in await app.get_background_job_status(job_id)


@pytest.mark.parametrize(("wiring", "end"), [({}, "\n"), ({"terminal": {}}, "\r\n")])
async def test_codes_signals_and_output_survive_that_nobody_listens(
    home: Path, settings: Settings, wiring: dict[str, Any], end: str
) -> None:
    commands = {str(code): [f"echo {code}; exit {code}"] for code in (0, 42, 137)}
    commands |= {name: [f"echo {name}; kill -{name} $$"] for name in ("TERM", "SEGV")}
    found = await found_afterwards(home, settings, commands, **wiring)
    assert found == {
        "0": ("completed", 0, None, f"0{end}"),
        "42": ("failed", 42, None, f"42{end}"),
        "137": ("failed", 137, None, f"137{end}"),
        "TERM": ("failed", None, "SIGTERM", f"TERM{end}"),
        "SEGV": ("failed", None, "SIGSEGV", f"SEGV{end}"),
    }


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize(("option", "reason"), [("timeout", "timeout"), ("idle_timeout",) * 2])
async def test_a_deadline_holds_while_the_daemon_is_down(
    home: Path, settings: Settings, option: str, reason: str, wiring: dict[str, Any]
) -> None:
    """Promise 9: the shim keeps it."""
    async with open_app(home, settings) as app:
        limits = {option: 700, **wiring}
        job_id = await app.start_background_job("sh", ["-c", "echo on; sleep 1000"], **limits)
        await until(lambda: has_begun(app, job_id))
    until_now(lambda: has_exit_record(home, job_id))
    async with open_app(home, settings) as app:
        job = await end_of(app, job_id)
    assert (job["status"], job["reason"], job["exitCode"]) == ("failed", reason, None)
    assert job["durationMs"] >= 690


async def test_silence_is_what_an_idle_timeout_measures(app: App) -> None:
    talk = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $i; sleep 0.1; done"
    job_ids = [
        await app.start_background_job(f"{talk}; {end}", idle_timeout=1000)
        for end in ("exit 3", "sleep 1000")
    ]
    talked, silent = [await end_of(app, job_id) for job_id in job_ids]
    assert (talked["reason"], talked["exitCode"]) == ("exit_code", 3)
    assert (silent["reason"], silent["exitCode"]) == ("idle_timeout", None)
    assert silent["durationMs"] >= 2000
