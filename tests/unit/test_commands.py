"""From what a client wrote to what exec gets; every refusal names what is wrong and how to mend it."""

import os
from pathlib import Path

import pytest

from console_automation.engine.commands import find_program, inherited, project_of, resolve
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


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory outside of any repository, as the system names it."""
    assert project_of(str(tmp_path)) == str(tmp_path.resolve()), "the tests run in a repository"
    return tmp_path.resolve()


def test_a_project_is_the_git_root_above_a_directory(place: Path) -> None:
    deep = place / "repo" / "src" / "deep"
    deep.mkdir(parents=True)
    (place / "repo" / ".git").mkdir()
    for inside in (deep, deep.parent, place / "repo"):
        assert project_of(str(inside)) == str(place / "repo")
    assert project_of(str(place)) == str(place)


def test_the_nearest_git_root_counts_and_a_worktree_has_a_file_for_it(place: Path) -> None:
    (place / ".git").mkdir()
    worktree = place / "trees" / "fix"
    (worktree / "src").mkdir(parents=True)
    (worktree / ".git").write_text("gitdir: elsewhere")
    assert project_of(str(worktree / "src")) == str(worktree)
    assert project_of(str(worktree.parent)) == str(place)


def test_a_directory_outside_of_any_repository_is_a_project_of_its_own(place: Path) -> None:
    (place / "a").mkdir()
    assert project_of(str(place / "a")) == str(place / "a")
    assert project_of("/") == "/"


def test_a_directory_that_is_gone_belongs_where_it_was(place: Path) -> None:
    gone = place / "repo" / "gone" / "deeper"
    assert project_of(str(gone)) == str(gone)
    (place / "repo" / ".git").mkdir(parents=True)
    assert project_of(str(gone)) == str(place / "repo")


def test_a_project_has_one_name_however_its_directory_is_written(place: Path) -> None:
    here = str(place)
    for written in (f"{here}/", f"{here}//", f"{here}/.", f"{here}/x/..", f"//{here}"):
        assert project_of(written) == here, written


def test_a_link_belongs_to_the_project_it_leads_to(place: Path) -> None:
    (place / "repo" / ".git").mkdir(parents=True)
    (place / "repo" / "src").mkdir()
    (place / "link").symlink_to(place / "repo" / "src")
    (place / "loop").symlink_to(place / "loop")
    assert project_of(str(place / "link")) == str(place / "repo")
    assert project_of(str(place / "link" / "..")) == str(place / "repo")
    assert project_of(str(place / "loop")) == str(place / "loop")


def test_a_project_whose_name_is_not_utf_8_has_one_that_is(place: Path) -> None:
    odd = os.fsdecode(os.fsencode(place) + b"/caf\xe9")
    assert project_of(odd) == str(place / "caf\\udce9")
    (place / ".git").mkdir()
    assert project_of(odd) == str(place)


def test_what_may_not_be_looked_into_has_no_repository(place: Path) -> None:
    long = place / ("x" * 300) / ("y" * 5000)
    assert project_of(str(long)) == str(long)
