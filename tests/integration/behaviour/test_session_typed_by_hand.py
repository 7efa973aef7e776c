"""What somebody types into a shell by hand: the state says that it runs, whatever the shell tells."""

import pytest

from tests.integration.behaviour.conftest import Open

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("shell", ["bash", "sh"])
async def test_a_shell_with_a_program_in_front_of_it_is_not_idle(console: Open, shell: str) -> None:
    session = await console(shell)
    await session.type("echo be''gun; cat")
    await session.sees("^begun$")
    assert (await session.becomes("waiting_for_input"))["foreground"] == "cat"
    await session.key("ctrl+d")
    assert (await session.idle())["foreground"].startswith(shell)
