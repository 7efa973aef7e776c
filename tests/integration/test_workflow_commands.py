"""`job workflow`: register, list, run, status, cancel, rerun, remove, as a person uses them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.job_command import Shell
from tests.integration.servers import end_everything

JOBS = """
[jobs.make]
command = 'printf "{\\"n\\": $N}" > "$CONSOLE_AUTOMATION_RESULT"'
environment = { N = "{n}" }
inputSchema = { properties = { n = { type = "integer", default = 1 } } }

[jobs.check]
command = 'test -e repaired'
"""
WORKFLOW = """
name = "nightly"
description = "Make, then check."

[[steps]]
id = "make"
job = "make"
input = { n = { "$from" = "input.n" } }

[[steps]]
id = "check"
job = "check"
dependsOn = ["make"]
condition = "steps.make.result.n > 0"
"""


@pytest.fixture
def shell(home: Path, tmp_path: Path) -> Iterator[Shell]:
    (tmp_path / "console-automation.toml").write_text(JOBS)
    (tmp_path / "nightly.toml").write_text(WORKFLOW)
    yield Shell(home, tmp_path)
    end_everything(home)


def test_a_workflow_is_run_repaired_and_run_again(shell: Shell, tmp_path: Path) -> None:
    assert shell.job("workflow", "register", "nightly.toml").stdout == "nightly\n"
    failed = shell.job("workflow", "run", "nightly", "-i", '{"n": 7}', "--wait")
    assert failed.returncode == 1 and "check: failed (exit_code): exit code 1" in failed.stdout
    (tmp_path / "repaired").touch()
    again = shell.job("workflow", "rerun", "nightly", "--wait", "--json")
    assert again.returncode == 0, again.stderr
    result = json.loads(again.stdout)
    assert result["counts"] == {"completed": 2}
    steps = {each["id"]: each for each in result["steps"]}
    assert steps["make"]["takenFrom"] == result["run"]["rerunOf"]
    assert steps["make"]["result"] == {"n": 7}
    shown = shell.job("workflow", "status", "nightly").stdout
    assert shown.startswith(f"{result['run']['runId']} `nightly`: completed")
    listed = shell.job("workflow").stdout.splitlines()
    assert listed[0].strip() == "nightly (2 steps): Make, then check." and len(listed) == 3
    assert shell.job("workflow", "remove", "nightly").returncode == 0
    assert shell.job("workflow", "run", "nightly").returncode == 3


def test_what_is_wrong_with_a_file_is_said_and_nothing_is_kept(
    shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "circle.json").write_text(
        json.dumps(
            {
                "name": "circle",
                "steps": [
                    {"id": "a", "job": "make", "dependsOn": ["b"]},
                    {"id": "b", "job": "make", "dependsOn": ["a"]},
                ],
            }
        )
    )
    done = shell.job("workflow", "register", "circle.json")
    assert done.returncode == 2
    assert "step 'a', dependsOn: steps wait for each other: a → b → a." in done.stderr
    (tmp_path / "broken.toml").write_text("name = ")
    assert "broken.toml" in shell.job("workflow", "register", "broken.toml").stderr
    assert shell.job("workflow", "register", "none.toml").returncode == 1
    (tmp_path / "date.toml").write_text(
        'name = "d"\n[[steps]]\nid = "a"\njob = "make"\ninput = { days = [2026-11-26] }'
    )
    done = shell.job("workflow", "register", "date.toml")
    assert (done.returncode, done.stderr) == (
        2,
        "job: date.toml: steps.0.input.days.0 is a date or a time, of which JSON knows nothing; write it as"
        " text, in quotes\n",
    )
    assert "no workflows" in shell.job("workflow", "list", "--all").stderr


def test_a_run_that_goes_on_can_be_cancelled(shell: Shell, tmp_path: Path) -> None:
    slow = {"name": "slow", "steps": [{"id": "a", "job": "sleep"}]}
    (tmp_path / "console-automation.toml").write_text("[jobs.sleep]\ncommand = 'exec sleep 100'\n")
    shell.job("workflow", "register", "-", stdin=json.dumps(slow))
    run_id = shell.job("workflow", "run", "slow", "--key", "once").stdout.strip()
    assert shell.job("workflow", "run", "slow", "--key", "once").stdout.strip() == run_id
    done = shell.job("workflow", "cancel", run_id[:20])
    assert done.returncode == 0 and "cancelled (cancelled)" in done.stdout
    assert "over already" in shell.job("workflow", "cancel", run_id).stdout
    assert shell.job("workflow", "cancel", "workflow-none").returncode == 3
