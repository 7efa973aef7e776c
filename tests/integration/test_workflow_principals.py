"""Workflows of principals over HTTP: whose they are, what rules let others do, and as whom runs act."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from console_automation.adapters.tokens import Tokens
from tests.integration.clients import Connected, over_http
from tests.integration.principals import as_principal
from tests.integration.servers import Server, serving
from tests.integration.steps import ok, refused
from tests.integration.test_workflow_triggers import post, signature
from tests.waiting import until

REGISTER, EXECUTE = "console_register_workflow", "console_execute_workflow"
STATUS, CANCEL = "console_get_workflow_status", "console_cancel_workflow"
LIST, REMOVE = "console_list_workflows", "console_remove_workflow"
JOBS: tuple[dict[str, Any], ...] = (
    {"name": "open", "command": "true"},
    {"name": "wait", "command": "sleep 600"},
    {"name": "build", "command": "true", "permissions": [{"action": "execute", "roles": ["dev"]}]},
    {"name": "secret", "command": "true", "permissions": [{"action": "read", "roles": ["chief"]}]},
)


@pytest.fixture(scope="module")
def server(module_home: Path) -> Iterator[Server]:
    """A daemon whose user has defined some jobs."""
    toolsets = "jobs definitions workflows"
    with serving(module_home, http=True, max_wait_ms=1000, toolsets=toolsets) as running:
        for definition in JOBS:
            running.call("console_register_job", **definition)
        yield running


def of(name: str, job: str = "open", **fields: Any) -> dict[str, Any]:
    """A workflow of one step."""
    return {"name": name, "steps": [{"id": "a", "job": job}], **fields}


async def over(client: Connected, run_id: str) -> dict[str, Any]:
    async def done() -> dict[str, Any] | None:
        found = await ok(client, STATUS, runId=run_id, waitMs=1000)
        return found if found["run"]["status"] not in ("pending", "running") else None

    found = await until(done, "the end of the run")
    assert found is not None
    return found


def plain(error: dict[str, Any], asked: str) -> str:
    """What an error says, but for what was asked for and when."""
    text = json.dumps(error).replace(asked, "ID")
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)


async def begun(client: Connected, name: str, **fields: Any) -> str:
    run_id: str = (await ok(client, EXECUTE, name=name, **fields))["run"]["runId"]
    return run_id


async def test_a_principal_has_workflows_of_their_own_whose_runs_act_as_they_do(
    server: Server,
) -> None:
    async with as_principal(server, "dev", roles=["dev"]) as dev:
        kept = await ok(dev, REGISTER, **of("mine", "build"))
        assert (kept["workflow"]["owner"], kept["replaced"]) == (dev.name, False)
        assert (await ok(dev, REGISTER, **of("mine", "build")))["replaced"]
        done = await over(dev, await begun(dev, "mine"))
        assert done["run"]["status"] == "completed"
        job = await ok(dev, "console_get_job_status", jobId=done["steps"][0]["jobId"])
        assert job["job"]["status"] == "completed"  # so it is theirs
        await ok(dev, REGISTER, **of("long", "wait"))
        assert (await ok(dev, CANCEL, runId=await begun(dev, "long")))["cancelled"]
        listed = await ok(dev, LIST)
        assert [each["name"] for each in listed["workflows"]] == ["long", "mine"]
        assert len(listed["runs"]) == 2
        for name in ("long", "mine"):
            await ok(dev, REMOVE, name=name)
        assert (await ok(dev, LIST))["workflows"] == []


async def test_what_is_somebody_else_s_is_answered_for_like_what_is_not_there(
    server: Server,
) -> None:
    async with over_http(server) as connected, as_principal(server, "ci") as ci:
        user = Connected(connected)
        await ok(user, REGISTER, **of("theirs", "wait"))
        run_id = await begun(user, "theirs")
        unknown = "workflow-" + "0" * 26
        for tool, field in ((STATUS, "runId"), (CANCEL, "runId"), (EXECUTE, "rerunOf")):
            foreign, none = [await refused(ci, tool, **{field: i}) for i in (run_id, unknown)]
            assert foreign["code"] == "WORKFLOW_NOT_FOUND", tool
            assert plain(foreign, run_id) == plain(none, unknown), tool
        for tool in (EXECUTE, REMOVE):
            foreign, none = [await refused(ci, tool, name=n) for n in ("theirs", "nobody")]
            assert foreign["code"] == "WORKFLOW_NOT_FOUND", tool
            assert plain(foreign, "theirs") == plain(none, "nobody"), tool
        near = await refused(ci, EXECUTE, name="theirz")
        assert "theirs" not in near["error"]
        listed = await ok(ci, LIST)
        assert (listed["workflows"], listed["runs"]) == ([], [])
        # The name is free for them, and theirs alone.
        assert not (await ok(ci, REGISTER, **of("theirs")))["replaced"]
        assert (await over(ci, await begun(ci, "theirs")))["run"]["status"] == "completed"
        still = await ok(user, STATUS, runId=run_id)
        assert still["run"]["status"] == "running"
        await ok(user, CANCEL, runId=run_id)
        assert len((await ok(user, LIST, name="theirs"))["runs"]) == 2
        await ok(ci, REMOVE, name="theirs")
        await ok(user, REMOVE, name="theirs")


async def test_rules_let_others_do_what_they_name_and_runs_are_those_of_who_began_them(
    server: Server,
) -> None:
    rules = [
        {"action": "execute", "roles": ["runner"], "scopes": ["run"]},
        {"action": "update", "roles": ["editor"]},
        {"action": "delete", "roles": ["editor"]},
        {"action": "list", "roles": ["editor"]},
    ]
    async with (
        over_http(server) as connected,
        as_principal(server, "runner", roles=["runner"], scopes=["run"]) as runner,
        as_principal(server, "half", roles=["runner"]) as half,
        as_principal(server, "editor", roles=["editor"]) as editor,
    ):
        user = Connected(connected)
        await ok(user, REGISTER, **of("shared", permissions=rules))
        run_id = await begun(runner, "shared", idempotencyKey="k")
        done = await over(runner, run_id)
        await ok(runner, "console_get_job_status", jobId=done["steps"][0]["jobId"])
        assert await begun(user, "shared", idempotencyKey="k") != run_id
        assert (await refused(half, EXECUTE, name="shared"))["code"] == "WORKFLOW_NOT_FOUND"
        assert (await refused(editor, EXECUTE, name="shared"))["code"] == "POLICY_DENIED"
        assert (await refused(editor, STATUS, runId=run_id))["code"] == "WORKFLOW_NOT_FOUND"
        assert (await refused(runner, REMOVE, name="shared"))["code"] == "POLICY_DENIED"
        for client, count in ((runner, 0), (editor, 1), (user, 1)):
            listed = (await ok(client, LIST, name="shared"))["workflows"]
            assert len(listed) == count, client
        changed = await ok(editor, REGISTER, **of("shared", permissions=rules[1:]))
        assert changed["replaced"] and changed["workflow"]["owner"] == "local"
        assert (await refused(runner, EXECUTE, name="shared"))["code"] == "WORKFLOW_NOT_FOUND"
        await ok(editor, REMOVE, name="shared")


async def test_a_guard_of_a_workflow_decides_about_the_input_of_each_run(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "guard.py").write_text(
        "def small(question):\n"
        "    return question['workflow'] == 'guarded' and question['input']['n'] < 10\n"
    )
    rule = {"action": "execute", "custom": f"{tmp_path}/guard.py:small"}
    async with over_http(server) as connected, as_principal(server, "ci") as ci:
        user = Connected(connected)
        await ok(user, REGISTER, **of("guarded", permissions=[rule]))
        await begun(ci, "guarded", input={"n": 5})
        error = await refused(ci, EXECUTE, name="guarded", input={"n": 10})
        assert error["code"] == "POLICY_DENIED"
        wrong = await refused(user, REGISTER, **of("w", permissions=[{**rule, "action": "delete"}]))
        assert "permissions.0.custom" in wrong["error"]
        await ok(user, REMOVE, name="guarded")


async def test_who_may_update_a_workflow_gets_past_no_guard_by_having_it_start_as_its_owner(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "guard.py").write_text("def never(question):\n    return False\n")
    rule = {"action": "execute", "custom": f"{tmp_path}/guard.py:never"}
    narrow = {"name": "narrow", "command": "true", "permissions": [rule]}
    hook = {"type": "webhook", "path": "by/itself", "secret": "a secret of some length"}
    rules = [{"action": "update"}]
    async with over_http(server) as connected, as_principal(server, "editor") as editor:
        user = Connected(connected)
        await ok(user, "console_register_job", **narrow)
        await ok(user, REGISTER, **of("lent", permissions=rules))
        changed = of("lent", "narrow", permissions=rules, triggers=[hook])
        error = await refused(editor, REGISTER, **changed)
        assert error["code"] == "POLICY_DENIED" and "step 'a', job: narrow" in error["error"]
        await ok(editor, REGISTER, **{**changed, "triggers": []})
        await ok(editor, REGISTER, **of("lent", permissions=rules, triggers=[hook]))
        own = await ok(editor, REGISTER, **{**changed, "name": "own"})
        assert own["workflow"]["owner"] == editor.name
        await ok(editor, REMOVE, name="own")
        await ok(user, REGISTER, **changed)
        await ok(user, REMOVE, name="lent")


async def test_each_step_is_decided_about_for_whoever_began_the_run(server: Server) -> None:
    shared = [{"action": "execute"}]
    async with (
        over_http(server) as connected,
        as_principal(server, "ci") as ci,
        as_principal(server, "dev", roles=["dev"]) as dev,
    ):
        user = Connected(connected)
        await ok(user, REGISTER, **of("built", "build", permissions=shared))
        assert (await over(dev, await begun(dev, "built")))["run"]["status"] == "completed"
        before = len((await ok(user, LIST, limit=1000))["runs"])
        error = await refused(ci, EXECUTE, name="built")
        assert error["code"] == "POLICY_DENIED" and "may not execute build" in error["error"]
        assert (await refused(ci, REGISTER, **of("b", "build")))["code"] == "POLICY_DENIED"
        hidden, none = [await refused(ci, REGISTER, **of("b", j)) for j in ("secret", "nothing")]
        assert plain(hidden, "secret") == plain(none, "nothing")
        assert len((await ok(user, LIST, limit=1000))["runs"]) == before
        # What is closed while a run goes on is closed for its later steps.
        gate = {"name": "gate", "command": "until test -e gate; do sleep 0.05; done"}
        await ok(user, "console_register_job", **gate, workingDirectory=str(server.home))
        await ok(user, "console_register_job", **{**JOBS[0], "name": "later"})
        steps = [{"id": "a", "job": "gate"}, {"id": "b", "job": "later", "dependsOn": ["a"]}]
        await ok(ci, REGISTER, name="two", steps=steps)
        run_id = await begun(ci, "two")
        closed = [{"action": "execute", "roles": ["dev"]}]
        await ok(user, "console_register_job", name="later", command="true", permissions=closed)
        (server.home / "gate").touch()
        done = await over(ci, run_id)
        last = {each["id"]: each for each in done["steps"]}["b"]
        assert (last["status"], last["reason"]) == ("failed", "refused")
        assert "jobId" not in last
        who = f"http:{ci.name}"

        def told() -> set[tuple[str, str, str]]:
            with closing(sqlite3.connect(server.home / "jobs.db")) as connection:
                asked = "SELECT operation, outcome, job_id FROM audit WHERE client = ?"
                return set(connection.execute(asked, (who,)))

        wanted = {("step", "POLICY_DENIED", run_id), (EXECUTE, "ok", run_id)}
        await until(lambda: wanted <= told(), "the audit")


async def test_what_a_webhook_starts_acts_as_the_owner_and_secrets_tell_owners_apart(
    server: Server,
) -> None:
    async with (
        over_http(server) as connected,
        as_principal(server, "a", roles=["dev"]) as a,
        as_principal(server, "b") as b,
    ):
        secrets = {a: "the secret of the one", b: "the secret of the other"}
        for client, job in ((a, "build"), (b, "open")):
            hook = {"type": "webhook", "path": "same", "secret": secrets[client]}
            await ok(client, REGISTER, **of("hooked", job, triggers=[hook]))

        async def sent(secret: str) -> tuple[int, dict[str, Any]]:
            signed = signature(b"{}", secret)
            return post(server, "/hooks/same", b"{}", X_Hub_Signature_256=signed)

        for client, other in ((a, b), (b, a)):
            status, said = await sent(secrets[client])
            assert status == 202
            run_id = said["run"]["runId"]
            assert (await over(client, run_id))["run"]["status"] == "completed"
            assert (await refused(other, STATUS, runId=run_id))["code"] == "WORKFLOW_NOT_FOUND"
        # Whose token is gone, for them nothing starts any more.
        Tokens(server.home).revoke(b.name)
        status, said = await sent(secrets[b])
        assert status != 202 and said["code"] == "POLICY_DENIED"
        for owner in (a.name, b.name):
            await ok(Connected(connected), REMOVE, name="hooked", owner=owner)


async def test_the_end_of_a_job_starts_workflows_of_those_alone_who_may_see_it(
    server: Server,
) -> None:
    await_open = [{"type": "completion", "job": "open"}]
    async with (
        over_http(server) as connected,
        as_principal(server, "a") as a,
        as_principal(server, "b") as b,
    ):
        user = Connected(connected)
        for client in (a, b, user):
            await ok(client, REGISTER, **of("after", triggers=await_open))
        job_id = (await ok(a, "console_execute_job", name="open"))["jobId"]

        async def started() -> dict[str, int]:
            owners = {"a": a, "b": b, "user": user}
            return {
                name: sum(
                    run["trigger"] == job_id
                    for run in (await ok(client, LIST, name="after"))["runs"]
                )
                for name, client in owners.items()
            }

        async def is_right() -> bool:
            # The user sees everybody's: their own, and that of a.
            return await started() == {"a": 1, "b": 0, "user": 2}

        await until(is_right, "the runs that the end started")
        several = await refused(user, REMOVE, name="after", owner="nobody")
        assert several["code"] == "WORKFLOW_NOT_FOUND"
        for owner in (a.name, b.name, "local"):
            await ok(user, REMOVE, name="after", owner=owner)


async def test_a_principal_has_no_command_run_at_the_end_of_a_workflow(server: Server) -> None:
    async with as_principal(server, "ci") as ci:
        for notify in ({"command": "touch /tmp/never"}, {"webhook": "https://example.org"}):
            error = await refused(ci, REGISTER, **of("w", notify=[notify]))
            assert error["code"] == "POLICY_DENIED" and "notify" in error["error"]


async def test_who_may_not_execute_a_workflow_any_more_cannot_run_it_again(server: Server) -> None:
    failing = {"name": "failing", "command": "false"}
    async with over_http(server) as connected, as_principal(server, "ci") as ci:
        user = Connected(connected)
        await ok(user, "console_register_job", **failing)
        shared = of("again", "failing", permissions=[{"action": "execute"}])
        await ok(user, REGISTER, **shared)
        run_id = await begun(ci, "again")
        assert (await over(ci, run_id))["run"]["status"] == "failed"
        await over(ci, (await ok(ci, EXECUTE, rerunOf=run_id))["run"]["runId"])
        await ok(user, REGISTER, **{**shared, "permissions": [{"action": "read"}]})
        assert (await refused(ci, EXECUTE, rerunOf=run_id))["code"] == "POLICY_DENIED"
        await ok(user, REGISTER, **{**shared, "permissions": []})
        assert (await refused(ci, EXECUTE, rerunOf=run_id))["code"] == "WORKFLOW_NOT_FOUND"
        await ok(user, REMOVE, name="again")
