"""Sessions whose shell is not where one would think, and output that pretends to be its marks."""

import pytest

from tests.integration.behaviour.conftest import OVER_TWO, Open
from tests.integration.clients import Client

pytestmark = [pytest.mark.asyncio(loop_scope="module"), OVER_TWO]

FORGED = r"\033]133;A;fish\007"


async def test_a_command_that_was_typed_into_an_open_quote_never_ran_and_is_not_said_to_have(
    console: Open,
) -> None:
    session = await console("bash")
    await session.type("echo 'never closed")
    lost = await session.start("true", options={"timeout": 100})
    await session.key("ctrl+c")
    ended = await session.ended(lost["commandId"])
    assert (ended["status"], ended["exitCode"]) == ("unknown", None)
    assert (await session.run("echo again"))["output"] == "again\n"


async def test_the_end_of_the_shell_is_not_that_of_a_command_that_never_began(
    console: Open,
) -> None:
    session = await console("bash")
    await session.type("echo 'never closed")
    lost = await session.start("true", options={"timeout": 100})
    await session.ok("console_stop_session", force=True)
    ended = await session.ended(lost["commandId"])
    assert (ended["status"], ended["exitCode"]) == ("unknown", None)


async def test_a_forged_prompt_of_another_shell_changes_nothing(console: Open) -> None:
    session = await console("bash")
    await session.run(f"printf '{FORGED}'")
    assert (await session.run("echo $BASH_VERSION | head -c1"))["exitCode"] == 0


@pytest.mark.parametrize("shell", ["bash", "sh"])
async def test_a_command_is_not_typed_into_a_program_that_shows_a_forged_prompt(
    console: Open, client: Client, shell: str
) -> None:
    session = await console(shell)
    mark = rf"\033]133;A;{shell}\007"
    await session.type(f"printf '{mark}here'; exec 3<&0; cat <&3 >/dev/null")
    await session.sees("here")
    await session.becomes("waiting_for_input")
    answer = await client.call(
        "console_execute_command", {"sessionId": session.id, "command": "echo typed"}
    )
    assert answer.is_error and answer.structured["code"] == "CONFLICT"
    await session.key("ctrl+c")
    await session.idle()
    assert (await session.run("echo free"))["output"] == "free\n"


async def test_values_of_variables_are_not_put_on_record_with_the_command(console: Open) -> None:
    session = await console("bash")
    done = await session.run("echo ${#TOKEN}", options={"environment": {"TOKEN": "canary"}})
    assert done["output"] == "6\n"
    history = await session.ok("console_get_command_history")
    assert {each["command"] for each in history["commands"]} == {"echo ${#TOKEN}"}


async def test_a_flood_of_control_sequences_can_be_looked_at_and_interrupted(
    console: Open,
) -> None:
    session = await console("bash")
    flood = await session.start(r"yes $'\e[?25l\e[?25h'", options={"timeout": 300})
    assert flood["status"] == "running"
    assert (await session.ok("console_get_session_state"))["state"] == "executing"
    await session.key("ctrl+c")
    assert (await session.ended(flood["commandId"]))["exitCode"] == 130
