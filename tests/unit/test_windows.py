"""On Windows the package imports and says plainly what is not there. Pretended here: no Windows."""

import subprocess
import sys

PRETEND = """
import sys
sys.platform = "win32"
for missing in ("fcntl", "termios", "resource", "pwd", "grp"):
    sys.modules[missing] = None
"""


def on_windows(code: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", PRETEND + code]
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
