"""On Windows the package imports and says plainly what is not there. Pretended here: no Windows."""

import subprocess
import sys
from pathlib import Path

PRETEND = """
import sys
sys.platform = "win32"
for missing in ("fcntl", "termios", "resource", "pwd", "grp"):
    sys.modules[missing] = None
"""


#: What is imported first: these look for the system they run on and find none of Windows' parts.
PRELOAD = "import asyncio, multiprocessing, psutil, pytest, pytest_asyncio, hypothesis, subprocess"
#: What only POSIX has of what the sessions on Windows might reach for.
WITHOUT = """
import os
for missing in ("writev", "pread", "O_CLOEXEC", "fork", "openpty", "getuid", "killpg"):
    delattr(os, missing)
"""


def on_windows(code: str, *, before: str = "") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", before + PRETEND + code]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_package_and_its_core_import() -> None:
    modules = "console_automation, console_automation.config, console_automation.core.lifecycle"
    done = on_windows(f"import {modules}")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_says_what_is_missing_and_what_works() -> None:
    done = on_windows("from console_automation.__main__ import main; sys.exit(main())")
    assert done.returncode == 4
    assert "nothing to run yet" in done.stderr and "WSL" in done.stderr


def test_the_library_says_so_in_place_of_a_missing_module() -> None:
    done = on_windows("import console_automation.app")
    assert "ImportError: console-automation runs jobs with POSIX" in done.stderr


def test_what_a_session_on_windows_prints_is_kept_and_read_without_posix(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from console_automation.adapters.output_log import SegmentLog
from console_automation.shim.capture import STDOUT, Capture

runs = Path({str(tmp_path)!r})
(runs / "run").mkdir()
capture = Capture(str(runs / "run"), limit=65_536, drop_newest=False, printed=0, last_sequence=0)
for number in range(2000):
    capture.take(STDOUT, f"line {{number}}: häß \\x1a\\r\\n".encode() * 3, float(number))
capture.finish(1.0)
page = SegmentLog(runs).read("run", since=0, max_bytes=1 << 20, max_chunks=1 << 20, stream=None)
text = b"".join(chunk.data for chunk in page.chunks).decode()
assert text.endswith("line 1999: häß \\x1a\\r\\n") and capture.dropped
assert capture.printed == capture.dropped + len(text.encode())
"""
    done = on_windows(code, before=PRELOAD + WITHOUT)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_contract_of_sessions_can_be_run_there() -> None:
    modules = "tests.conftest, tests.integration.conftest"
    contract = "tests.integration.contract.test_terminal_host"
    code = f"import {modules}, {contract} as contract; assert contract.ON_WINDOWS"
    done = on_windows(code, before=PRELOAD + WITHOUT)
    assert (done.returncode, done.stderr) == (0, "")
