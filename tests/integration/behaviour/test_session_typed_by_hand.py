"""What somebody types into a shell by hand: the state says that it runs, whatever the shell tells."""

import pytest

from tests.integration.behaviour.conftest import OVER_TWO, Open
from tests.integration.steps import refused

pytestmark = [pytest.mark.asyncio(loop_scope="module"), OVER_TWO]

EXECUTE = "console_execute_command"


@pytest.mark.parametrize("shell", ["bash", "sh"])
async def test_a_shell_with_a_program_in_front_of_it_is_not_idle(console: Open, shell: str) -> None:
    session = await console(shell)
    await session.type("echo be''gun; cat")
    await session.sees("begun")
    assert (await session.becomes("waiting_for_input"))["foreground"] == "cat"
    await session.key("ctrl+d")
    assert (await session.idle())["foreground"].startswith(shell)


@pytest.mark.parametrize("shell", ["bash", "sh"])
async def test_no_command_is_typed_into_a_program_in_front_of_the_shell(
    console: Open, shell: str
) -> None:
    session = await console(shell)
    await session.type("echo be''gun; cat")
    await session.sees("begun")
    await session.becomes("waiting_for_input")
    error = await refused(session.client, EXECUTE, sessionId=session.id, command="echo into")
    assert error["code"] == "CONFLICT" and "by hand" in error["error"]
    await session.key("ctrl+d")
    await session.idle()
    assert (await session.run("echo fr''ee"))["output"] == "free\n"
    assert "into" not in await session.printed()
