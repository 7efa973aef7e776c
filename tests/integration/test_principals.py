"""Principals over HTTP: what they may run, what they may see, and that the rest is not there for them.

Promise 17: nobody without the right token can do anything. Promise 18: no access to another
principal's jobs by id; foreign and unknown give the same answer.
"""

import json
import re
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import MCPError

from console_automation.adapters.tokens import Tokens
from console_automation.errors import BadRequest
from console_automation.operations.table import OPERATIONS
from tests.integration.clients import Answer, Connected, over_http
from tests.integration.job_command import Shell
from tests.integration.principals import as_principal, ended
from tests.integration.servers import Server, serving
from tests.integration.steps import ok, refused
from tests.waiting import PATIENCE, until

GUARDED = {each.name for each in OPERATIONS.values() if each.guarded}
TOOLSETS = {"toolsets": "jobs sessions definitions schedules workflows cluster"}
OPEN = {"name": "open", "command": "echo ran"}
BUILDERS = {
    "name": "build",
    "command": "echo built",
    "permissions": [{"action": "execute", "roles": ["builder", "chief"], "scopes": ["deploy"]}],
}
SECRET = {
    "name": "secret",
    "command": "echo secret",
    "permissions": [{"action": "read", "roles": ["chief"]}],
}


@pytest.fixture(scope="module")
def server(module_home: Path) -> Iterator[Server]:
    with serving(module_home, http=True, max_wait_ms=1000, **TOOLSETS) as running:
        yield running


async def prepared(server: Server) -> None:
    """Have the user of the machine define some jobs."""
    async with over_http(server) as client:
        for definition in (OPEN, BUILDERS, SECRET):
            await ok(Connected(client), "console_register_job", **definition)


async def test_a_principal_runs_what_lets_them_and_sees_what_they_may_read(
    server: Server,
) -> None:
    await prepared(server)
    async with as_principal(server, "ci", roles=["builder"], scopes=["deploy"]) as ci:
        listed = await ok(ci, "console_list_job_definitions")
        assert [each["name"] for each in listed["definitions"]] == ["build", "open"]
        for name in ("build", "open"):
            begun = await ok(ci, "console_execute_job", name=name)
            assert (await ended(ci, begun["jobId"]))["status"] == "completed"
        unknown = await refused(ci, "console_execute_job", name="nobody")
        hidden = await refused(ci, "console_execute_job", name="secret")
        assert hidden["error"] == unknown["error"].replace("nobody", "secret")
        assert hidden["code"] == unknown["code"] == "DEFINITION_NOT_FOUND"


async def test_who_may_not_read_a_definition_cannot_tell_it_by_trying_to_take_its_name(
    server: Server,
) -> None:
    await prepared(server)
    for scopes in ([], ["definitions:create"]):
        async with as_principal(server, "thief", scopes=scopes) as thief:
            hidden = await refused(thief, "console_register_job", name="secret", command="true")
            assert hidden["code"] == "POLICY_DENIED"
            assert hidden["error"] == f"{thief.name} may not create the job definition secret."
    async with as_principal(server, "thief") as thief:
        unknown = await refused(thief, "console_register_job", name="nobody", command="true")
        assert unknown["error"] == f"{thief.name} may not create the job definition nobody."


@pytest.mark.parametrize(
    "words", [{}, {"roles": ["builder"]}, {"scopes": ["deploy"]}, {"roles": ["deploy"]}]
)
async def test_who_lacks_a_role_or_a_scope_is_refused_before_a_job_exists(
    server: Server, words: dict[str, Any]
) -> None:
    await prepared(server)
    before = server.totals()
    async with as_principal(server, "ci", **words) as ci:
        error = await refused(ci, "console_execute_job", name="build")
        assert error["code"] == "POLICY_DENIED" and "ci" in error["error"]
        assert (await ok(ci, "console_list_jobs"))["total"] == 0
    assert server.totals() == before


async def test_a_foreign_job_is_answered_for_like_an_unknown_one_by_every_tool(
    server: Server,
) -> None:
    await prepared(server)
    unknown = "job-" + "0" * 26
    async with over_http(server) as connected, as_principal(server, "ci") as ci:
        user = Connected(connected)
        job_id = (await ok(user, "console_execute_async", command="sleep 600"))["jobId"]

        def plain(answer: Answer, asked: str) -> str:
            text = json.dumps(answer.structured).replace(asked, "ID")
            return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)

        for tool in sorted(GUARDED):
            fields = OPERATIONS[tool].request.model_fields
            field = next((f for f in ("job_id", "job_ids") if f in fields), None)
            if field is None:
                continue
            foreign, none = [
                await ci.call(tool, {"jobId": i} if field == "job_id" else {"jobIds": [i]})
                for i in (job_id, unknown)
            ]
            assert foreign.is_error and foreign.structured["code"] == "JOB_NOT_FOUND", tool
            assert plain(foreign, job_id) == plain(none, unknown), tool
        for options in ({}, {"ref": job_id}, {"ref": job_id[:12]}, {"status": "running"}):
            assert (await ok(ci, "console_list_jobs", options=options))["total"] == 0
        still = await ok(user, "console_get_job_status", jobId=job_id)
        assert still["job"]["status"] == "running"
        await ok(user, "console_cancel_job", jobId=job_id)


async def test_a_reference_finds_ones_own_jobs_among_newer_ones_of_others(server: Server) -> None:
    await prepared(server)
    async with over_http(server) as connected, as_principal(server, "ci") as ci:
        mine = (await ok(ci, "console_execute_job", name="open"))["jobId"]
        newer = {"command": "true", "options": {"name": mine[4:9]}}
        await ok(Connected(connected), "console_execute_async", **newer)
        for reference in ("job-", mine[4:9], mine):
            asked = {"ref": reference, "limit": 1}
            found = await ok(ci, "console_list_jobs", options=asked)
            assert [job["id"] for job in found["jobs"]] == [mine], reference
            assert found["total"] == 1


async def test_everything_that_is_not_guarded_is_refused_and_not_even_listed(
    server: Server,
) -> None:
    await prepared(server)
    async with as_principal(server, "ci", scopes=["everything"]) as ci:
        assert {tool.name for tool in (await ci.mcp.list_tools()).tools} == GUARDED
        minimal: dict[str, dict[str, Any]] = {
            "console_execute_async": {"command": "touch /tmp/never"},
            "console_execute_command": {"command": "touch /tmp/never"},
        }
        for tool in set(OPERATIONS) - GUARDED:
            asked = minimal.get(tool) or filled(tool)
            error = await refused(ci, tool, **asked)
            assert error["code"] == "POLICY_DENIED", (tool, error)
        with pytest.raises(MCPError):
            await ci.mcp.list_resources()
        for definition in (OPEN, {**OPEN, "name": "new"}):
            assert (await refused(ci, "console_register_job", **definition))[
                "code"
            ] == "POLICY_DENIED"
        assert (await refused(ci, "console_remove_job", name="open"))["code"] == "POLICY_DENIED"


async def test_nobody_else_can_tell_by_its_resource_whether_there_is_something(
    server: Server,
) -> None:
    await prepared(server)
    async with over_http(server) as client:
        user = Connected(client)
        steps = [{"id": "one", "job": "open"}]
        await ok(user, "console_register_workflow", name="mine", steps=steps)
        run = (await ok(user, "console_execute_workflow", name="mine", waitMs=1000))["run"]
        uris = [f"workflow://{run['runId']}", "workflow://workflow-none", "job://job-none"]
        assert (await client.read_resource(uris[0])).contents
    async with as_principal(server, "ci", scopes=["everything"]) as ci:
        answers = set()
        for uri in uris:
            with pytest.raises(MCPError) as read:
                await ci.mcp.read_resource(uri)
            with pytest.raises(MCPError) as listen:
                async with ci.mcp.listen(resource_subscriptions=[uri]):
                    pass
            answers.add((str(read.value), str(listen.value)))
    assert len(answers) == 1


def filled(tool: str) -> dict[str, Any]:
    """Return arguments of the right shape for a tool."""
    values = {"string": "x", "array": ["x"], "object": {}, "integer": 5, "number": 5}
    schema = OPERATIONS[tool].request.model_json_schema(by_alias=True)
    found = {
        name: values[schema["properties"][name].get("type", "string")]
        for name in schema.get("required", [])
    }
    return found | ({"key": "enter"} if "key" in found else {})


async def test_a_principal_who_was_given_that_may_define_replace_and_remove(
    server: Server,
) -> None:
    await prepared(server)
    mine = {
        "name": "mine",
        "command": "true",
        "permissions": [{"action": each, "roles": ["dev"]} for each in ("update", "delete")],
    }
    words = {"roles": ["dev"], "scopes": ["definitions:create"]}
    async with as_principal(server, "dev", **words) as dev:
        await ok(dev, "console_register_job", **mine)
        await ok(dev, "console_register_job", **mine)
        await ok(dev, "console_remove_job", name="mine")
        assert (await refused(dev, "console_register_job", **OPEN))["code"] == "POLICY_DENIED"


async def test_who_may_create_is_said_by_rules_in_the_settings(home: Path) -> None:
    rules = {
        "create_definitions": "role:author+scope:define role:chief",
        "create_workflows": "role:author",
        "create_schedules": "",
    }
    new = {
        "console_register_job": OPEN,
        "console_register_workflow": {"name": "w", "steps": [{"id": "a", "job": "ready"}]},
        "console_create_schedule": {"name": "s", "job": "ready", "trigger": {"everyMs": 3_600_000}},
    }

    async def created(client: Connected) -> list[str]:
        answers = {tool: await client.call(tool, asked) for tool, asked in new.items()}
        codes = {answer.structured.get("code") for answer in answers.values()}
        assert codes <= {"POLICY_DENIED", None}
        return [tool for tool, answer in answers.items() if not answer.is_error]

    with serving(home, http=True, **TOOLSETS, **rules) as server:
        server.call("console_register_job", name="ready", command="true")
        for words in ({}, {"roles": ["author"]}, {"scopes": ["define", "definitions:create"]}):
            async with as_principal(server, "ci", **words) as ci:
                assert "console_register_job" not in await created(ci)
        async with as_principal(server, "author", roles=["author"], scopes=["define"]) as author:
            assert await created(author) == ["console_register_job", "console_register_workflow"]
        async with as_principal(server, "ci") as ci:
            assert await created(ci) == []
        async with as_principal(server, "chief", roles=["chief"]) as chief:
            # It is there by now: that is no creating, and its rules name nobody.
            assert await created(chief) == []
            await ok(chief, "console_register_job", **{**OPEN, "name": "another"})
        async with over_http(server) as user:
            assert await created(Connected(user)) == list(new)


async def test_a_key_finds_no_job_of_somebody_else(server: Server) -> None:
    await prepared(server)
    asked = {"name": "open", "idempotencyKey": "k"}
    async with as_principal(server, "a") as a, as_principal(server, "b") as b:
        first, again = [await ok(a, "console_execute_job", **asked) for _ in range(2)]
        assert first["jobId"] == again["jobId"]
        assert (await ok(b, "console_execute_job", **asked))["jobId"] != first["jobId"]


async def test_no_key_of_a_principal_is_one_that_the_product_uses_itself(server: Server) -> None:
    await prepared(server)
    token = Tokens(server.home).add("schedule", roles=[], scopes=[], lifetime=None)
    every = {"trigger": {"everyMs": 3_600_000}, "name": "hourly", "job": "open"}
    async with over_http(server) as user, over_http(replace(server, token=token)) as guest:
        made = await ok(Connected(user), "console_create_schedule", **every)
        schedule = made["schedule"]["scheduleId"]
        taken = {"name": "open", "idempotencyKey": f"{schedule}:now:k"}
        job = await ok(Connected(guest), "console_execute_job", **taken)
        asked = {"scheduleId": schedule, "idempotencyKey": "k"}
        run = await ok(Connected(user), "console_trigger_schedule", **asked)
        await ok(Connected(user), "console_delete_schedule", scheduleId=schedule)
        assert run["jobId"] != job["jobId"]


async def test_an_mcp_session_is_for_whom_it_was_opened_and_not_there_for_others(
    server: Server,
) -> None:
    tokens = Tokens(server.home)
    mine, other = (
        tokens.add(kind, roles=[], scopes=[], lifetime=None)
        for kind in ("its-opener", "somebody-else")
    )
    async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE) as http:

        async def asked(token: str, way: str, session: str, **body: Any) -> httpx2.Response:
            headers = {
                "Authorization": f"Bearer {token}",
                "Accept": "application/json, text/event-stream",
                "MCP-Protocol-Version": "2025-06-18",
                **({"Mcp-Session-Id": session} if session else {}),
            }
            content = {"jsonrpc": "2.0", "id": 1, "params": {}, **body} if body else None
            return await http.request(way, "/mcp", headers=headers, json=content)

        hello = {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        for owner, strangers in ((mine, (other, server.token)), (server.token, (mine, other))):
            opened = await asked(owner, "POST", "", method="initialize", params=hello)
            session = opened.headers["mcp-session-id"]
            for stranger in strangers:
                for way, body in (("POST", {"method": "ping"}), ("GET", {}), ("DELETE", {})):
                    answer = await asked(stranger, way, session, **body)
                    assert answer.status_code == 404, (way, answer.text)
            answer = await asked(owner, "POST", session, method="ping")
            assert answer.status_code == 200


async def test_a_guard_in_python_decides_and_one_that_fails_refuses(
    server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "guarded.py"
    path.write_text(
        "from console_automation.typed import job\n"
        "def small(question):\n"
        "    if question['input']['n'] == 13: raise ValueError\n"
        "    return question['principal'].startswith('ci-') and question['input']['n'] < 10\n"
        "@job(permissions=[{'action': 'execute', 'custom': small}])\n"
        "def count(n: int) -> int:\n"
        "    return n\n"
    )
    assert Shell(server.home, tmp_path).job("define", "guarded.py").returncode == 0
    async with as_principal(server, "ci") as ci, as_principal(server, "other") as other:
        begun = await ok(ci, "console_execute_job", name="count", input={"n": 5})
        assert (await ended(ci, begun["jobId"]))["result"] == 5
        for client, n in ((ci, 10), (ci, 13), (other, 5)):
            error = await refused(client, "console_execute_job", name="count", input={"n": n})
            assert error["code"] == "POLICY_DENIED"


async def test_a_revoked_or_expired_token_is_refused_at_once(server: Server) -> None:
    tokens = Tokens(server.home)
    expired = tokens.add("late", roles=[], scopes=[], lifetime=-1.0)
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the client makes of a 401
        async with over_http(replace(server, token=expired)) as client:
            await client.list_tools()
    async with as_principal(server, "ci") as ci:
        await ok(ci, "console_list_jobs")
        assert tokens.revoke(ci.name)
        with pytest.raises(Exception):  # noqa: B017, PT011
            await ci.call("console_list_jobs", {})


async def test_every_decision_is_in_the_audit_with_who_asked(server: Server) -> None:
    await prepared(server)
    async with as_principal(server, "ci") as ci:
        await refused(ci, "console_execute_job", name="build")
        await refused(ci, "console_get_job_status", jobId="job-" + "0" * 26)
        await ok(ci, "console_execute_job", name="open")
        who = f"http:{ci.name}"

    def told() -> list[tuple[str, str]]:
        with closing(sqlite3.connect(server.home / "jobs.db")) as connection:
            asked = "SELECT operation, outcome FROM audit WHERE client = ?"
            rows = connection.execute(asked, (who,))
            return [tuple(row) for row in rows]

    wanted = [
        ("console_execute_job", "POLICY_DENIED"),
        ("console_get_job_status", "JOB_NOT_FOUND"),
        ("console_execute_job", "ok"),
    ]
    await until(lambda: told() == wanted, "the audit")


# -- the tokens themselves -------------------------------------------------------------------------


def test_a_token_is_shown_once_and_only_its_hash_is_kept(home: Path, tmp_path: Path) -> None:
    shell = Shell(home, tmp_path)
    made = shell.server("token", "add", "ci", "--role", "builder", "--expires", "30d")
    token = made.stdout.strip()
    assert made.returncode == 0 and len(token) == 43
    file = home / "tokens.json"
    assert token not in file.read_text() and stat.S_IMODE(file.stat().st_mode) == 0o600
    principal = Tokens(home).bearer(token.encode())
    assert principal is not None and (principal.name, principal.roles) == ("ci", {"builder"})
    listed = shell.server("token", "list")
    assert "ci" in listed.stdout and "builder" in listed.stdout and token not in listed.stdout
    assert shell.server("token", "add", "ci").returncode == 2
    assert shell.server("token", "revoke", "ci").returncode == 0
    assert Tokens(home).bearer(token.encode()) is None
    assert shell.server("token", "revoke", "ci").returncode == 3


def test_changes_at_the_same_time_bring_no_revoked_token_back_and_lose_none(home: Path) -> None:
    names = [f"guest-{number}" for number in range(100)]
    old, new = names[:50], names[50:]
    for name in old:
        Tokens(home).add(name, roles=[], scopes=[], lifetime=None)

    def revoke(name: str) -> None:
        assert Tokens(home).revoke(name)

    def add(name: str) -> None:
        Tokens(home).add(name, roles=[], scopes=[], lifetime=None)

    with ThreadPoolExecutor(8) as people:
        done = [people.submit(revoke, name) for name in old]
        done += [people.submit(add, name) for name in new]
    for each in done:
        each.result()
    assert sorted(Tokens(home).all()) == sorted(new)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("local", {}),
        ("", {}),
        ("a b", {}),
        ("a:b", {}),
        ("x", {"roles": ["admin"]}),
        ("x", {"scopes": ["a b"]}),
    ],
)
def test_no_token_makes_anybody_the_user_of_the_machine(
    home: Path, name: str, words: dict[str, Any]
) -> None:
    home.mkdir(exist_ok=True)
    with pytest.raises(BadRequest):
        Tokens(home).add(name, **{"roles": [], "scopes": [], "lifetime": None, **words})
    assert Tokens(home).all() == {}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"ci": 5}', "\xff"])
def test_a_file_of_tokens_that_makes_no_sense_lets_nobody_in(home: Path, content: str) -> None:
    home.mkdir(exist_ok=True)
    (home / "tokens.json").write_text(content, encoding="latin-1")
    tokens = Tokens(home)
    assert tokens.bearer(b"") is None and tokens.named("ci") is None
    with pytest.raises(BadRequest, match="makes no sense"):
        tokens.add("ci", roles=[], scopes=[], lifetime=None)
    assert (home / "tokens.json").read_text(encoding="latin-1") == content
    assert tokens.named("local") is not None


def test_a_role_of_admin_that_somebody_wrote_into_the_file_is_not_given(home: Path) -> None:
    home.mkdir(exist_ok=True)
    tokens = Tokens(home)
    token = tokens.add("ci", roles=["x"], scopes=[], lifetime=None)
    path = home / "tokens.json"
    path.write_text(path.read_text().replace('"x"', '"admin"'))
    principal = tokens.bearer(token.encode())
    assert principal is not None and not principal.is_admin


async def test_a_principal_schedules_what_they_may_run_and_nobody_else_sees_it(
    server: Server,
) -> None:
    await prepared(server)
    yearly = {"trigger": {"cron": "0 0 29 2 *"}}
    create, run = "console_create_schedule", "console_trigger_schedule"
    async with (
        as_principal(server, "ci", roles=["builder"], scopes=["deploy"]) as ci,
        as_principal(server, "other") as other,
    ):
        for forbidden in ({"command": "true"}, {"job": "secret"}):
            await refused(ci, create, name="no", **forbidden, **yearly)
        assert (await ok(ci, "console_list_schedules"))["total"] == 0
        made = (await ok(ci, create, name="nightly", job="build", **yearly))["schedule"]
        job_id = (await ok(ci, run, scheduleId="nightly"))["jobId"]
        assert (await ended(ci, job_id))["status"] == "completed"
        await refused(other, create, name="x", job="build", **yearly)
        await ok(other, create, name="nightly", job="open", **yearly)
        assert (await ok(other, "console_list_schedules"))["total"] == 1
        for tool in ("get", "update", "trigger", "delete"):
            answers = [
                await refused(other, f"console_{tool}_schedule", scheduleId=each)
                for each in (made["scheduleId"], "schedule-00000000000000000000000000")
            ]
            assert [each["code"] for each in answers] == ["SCHEDULE_NOT_FOUND"] * 2
    async with over_http(server) as admin:
        listed = await ok(Connected(admin), "console_list_schedules")
        assert [each["name"] for each in listed["schedules"]].count("nightly") == 2


async def test_a_schedule_fires_no_more_for_whom_the_definition_refuses_meanwhile(
    server: Server,
) -> None:
    await prepared(server)
    async with as_principal(server, "ci") as ci:
        every = {"trigger": {"everyMs": 1000}}
        await ok(ci, "console_create_schedule", name="s", job="open", **every)
        rule = {"action": "execute", "roles": ["chief"]}
        async with over_http(server) as admin:
            closed = {**OPEN, "permissions": [rule]}
            await ok(Connected(admin), "console_register_job", **closed)

        async def skipped() -> bool:
            history = (await ok(ci, "console_get_schedule", scheduleId="s"))["history"]
            found = [each for each in history if each.get("skipped") == "refused"]
            return bool(found) and "may not execute" in found[0]["error"]

        await until(skipped)
        no = await refused(ci, "console_trigger_schedule", scheduleId="s")
        assert "may not execute" in no["error"]
