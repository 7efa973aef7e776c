"""From what a client wrote to what exec gets; every refusal names what is wrong and how to mend it."""

from pathlib import Path

import pytest

from console_automation.engine.commands import find_program, inherited, resolve
from console_automation.errors import (
    BadRequest,
    CommandNotFound,
    PermissionDenied,
    WorkingDirectoryNotFound,
)

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def resolved(
    line: str, args: list[str] | None = None, shell: bool | None = None, **more: str
) -> tuple[str, tuple[str, ...], bool]:
    return resolve(line, args, shell=shell, cwd="/", environment={**ENVIRONMENT, **more})


@pytest.mark.parametrize("line", ["true", "/bin/true", "g++-12", "a.b_c@d%e+f:g,h"])
def test_a_single_word_is_a_program_and_needs_no_shell(line: str, tmp_path: Path) -> None:
    program = tmp_path / Path(line).name
    program.touch(mode=0o755)
    line = line if "/" in line else program.name
    executable, argv, by_shell = resolved(line, PATH=f"{tmp_path}:/bin")
    assert (argv, by_shell) == ((line,), False)
    assert Path(executable).name == Path(line).name


@pytest.mark.parametrize("line", ["a b", "a;b", "a|b", "$A", "a\nb", "~x", "a=1", "'a'", "#", "*"])
def test_anything_else_is_for_a_shell_to_read(line: str) -> None:
    executable, argv, by_shell = resolved(line)
    assert (executable, argv, by_shell) == ("/bin/sh", ("/bin/sh", "-c", line), True)


def test_the_clients_own_shell_reads_the_line() -> None:
    assert resolved("a b", SHELL="/bin/bash")[1][0] == "/bin/bash"


def test_args_are_passed_literally() -> None:
    assert resolved("echo", ["$HOME; rm -rf /"])[1] == ("echo", "$HOME; rm -rf /")


def test_a_word_can_be_forced_into_a_shell_and_a_line_out_of_one() -> None:
    assert resolved("true", shell=True)[2]
    with pytest.raises(CommandNotFound):
        resolved("echo hello", shell=False)


def test_args_and_a_shell_contradict_each_other() -> None:
    with pytest.raises(BadRequest, match="args are passed to one program literally") as caught:
        resolved("echo", ["x"], shell=True)
    assert caught.value.details["field"] == "options.shell"


def test_a_program_that_is_nowhere_is_refused_before_a_job_exists() -> None:
    with pytest.raises(CommandNotFound, match="Check the spelling and the PATH"):
        resolved("no-such-program-anywhere")


def test_a_file_that_may_not_be_executed_is_told_from_one_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "data").touch(mode=0o644)
    with pytest.raises(PermissionDenied, match="is not an executable file"):
        find_program("data", cwd="/", path=str(tmp_path))
    with pytest.raises(PermissionDenied):
        find_program(str(tmp_path), cwd="/", path=None)  # a directory


def test_a_later_directory_of_the_path_may_have_what_an_earlier_one_only_seems_to(
    tmp_path: Path,
) -> None:
    for folder, mode in (("first", 0o644), ("second", 0o755)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tool").touch(mode=mode)
    path = f"{tmp_path}/first:{tmp_path}/second"
    assert find_program("tool", cwd="/", path=path) == f"{tmp_path}/second/tool"


def test_a_relative_program_is_looked_for_in_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "tool").touch(mode=0o755)
    assert find_program("./tool", cwd=str(tmp_path), path="") == f"{tmp_path}/./tool"


@pytest.mark.parametrize(
    ("cwd", "error"),
    [("relative", BadRequest), ("/no/such/place", WorkingDirectoryNotFound)],
)
def test_a_working_directory_must_be_absolute_and_there(
    cwd: str, error: type[BadRequest] | type[WorkingDirectoryNotFound]
) -> None:
    with pytest.raises(error, match="workingDirectory"):
        resolve("true", None, shell=None, cwd=cwd, environment=ENVIRONMENT)


def test_what_exec_would_refuse_for_its_length_is_refused_with_a_way_out() -> None:
    for args in (["x" * 131_072], ["x" * 100_000] * 20):
        with pytest.raises(BadRequest, match="Write it to a file"):
            resolved("echo", args)
    assert len(resolved("echo", ["x" * 131_000])[1][1]) == 131_000


def test_only_what_the_setting_names_is_inherited() -> None:
    environment = {"PATH": "p", "LC_ALL": "C", "LC": "no", "SECRET": "s", "HOME": "h"}
    assert inherited(environment, "PATH LC_*") == {"PATH": "p", "LC_ALL": "C"}
    assert inherited(environment, "*") == environment
    assert inherited(environment, "") == {}
