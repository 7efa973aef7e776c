"""Toolsets: a client sees the tools of those that are switched on, and there are no others for it."""

import subprocess
from pathlib import Path

import mcp
import pytest

from console_automation.app import App
from console_automation.config import Settings
from console_automation.frontends.mcp.server import McpServer
from console_automation.operations.table import OPERATIONS
from tests.conftest import CALM
from tests.integration.servers import PROGRAM, configure, environment
from tests.waiting import PATIENCE

JOBS = {each.name for each in OPERATIONS.values() if each.toolset == "jobs"}
WORKFLOWS = {each.name for each in OPERATIONS.values() if each.toolset == "workflows"}
SCHEDULES = {each.name for each in OPERATIONS.values() if each.toolset == "schedules"}
SESSIONS = {each.name for each in OPERATIONS.values() if each.toolset == "sessions"}
CLUSTER = {each.name for each in OPERATIONS.values() if each.toolset == "cluster"}
DEFINITIONS = {each.name for each in OPERATIONS.values() if each.toolset == "definitions"}


@pytest.fixture(
    params=[
        ("jobs", JOBS, {"job"}),
        ("sessions", SESSIONS | {"console_execute_command"}, {"session"}),
        ("workflows", WORKFLOWS, {"workflow"}),
        (" sessions  jobs", JOBS | SESSIONS, {"job", "session"}),
        ("schedules", SCHEDULES, {"schedule"}),
        ("cluster", CLUSTER, set()),
        ("definitions", DEFINITIONS | {"console_get_job_status"}, set()),
    ],
    ids=lambda param: param[0].strip(),
)
def wanted(request: pytest.FixtureRequest) -> tuple[str, set[str], set[str]]:
    """The setting, the tools that it gives, and the schemes of its resources."""
    found: tuple[str, set[str], set[str]] = request.param
    return found


@pytest.fixture
def settings(wanted: tuple[str, set[str], set[str]]) -> Settings:
    return Settings(**CALM, toolsets=wanted[0])


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_client_sees_and_can_call_what_is_switched_on_and_nothing_else(
    app: App, wanted: tuple[str, set[str], set[str]], mode: str
) -> None:
    _, names, schemes = wanted
    async with mcp.Client(McpServer(app.engine).server, mode=mode) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == names
        for tool in OPERATIONS:
            result = await client.call_tool(tool, {"noSuchArgument": 1})
            assert result.is_error and result.structured_content is not None
            said = result.structured_content["error"]
            assert (f"There is no tool {tool!r}" in said) is (tool not in names)
            assert all(other in names for other in OPERATIONS if f"{other}'?" in said)
        templates = (await client.list_resource_templates()).resource_templates
        assert {each.uri_template.partition(":")[0] for each in templates} == schemes
        prompts = {prompt.name for prompt in (await client.list_prompts()).prompts}
        assert ("drive_console" in prompts) is ("session" in schemes)
        assert ("diagnose" in prompts) is ("job" in schemes)
        told = client.instructions or ""
        assert ("console_execute_async" in told) is ("job" in schemes)
        assert ("console_create_session" in told) is ("session" in schemes)
        assert ("console_create_schedule" in told) is (names == SCHEDULES)


def test_a_toolset_that_does_not_exist_is_refused_at_the_start(home: Path) -> None:
    configure(home, toolsets="jobs clusters")
    done = subprocess.run(
        [*PROGRAM, "daemon"],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 4 and "Traceback" not in done.stderr
    for word in ("toolsets", "'jobs clusters'", "jobs, sessions, definitions, schedules"):
        assert word in done.stderr
