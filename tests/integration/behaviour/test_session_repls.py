"""Programs with a prompt of their own, driven by input and patterns: python, and shells of databases."""

import sys

import pytest

from tests.integration.behaviour.conftest import OVER_TWO, Open
from tests.integration.steps import refused

pytestmark = [pytest.mark.asyncio(loop_scope="module"), OVER_TWO]

#: A database's shell as they all are: a prompt with a mark for an unfinished statement, a table, errors.
DATABASE = """
import cmd

class Shell(cmd.Cmd):
    prompt = "db=# "
    intro = "db (1.0)"
    statement = ""

    def default(self, line):
        self.statement += " " + line
        if not line.endswith(";"):
            self.prompt = "db-# "
            return None
        self.prompt = "db=# "
        statement, self.statement = self.statement.strip(), ""
        if "nowhere" in statement:
            print('ERROR:  relation "nowhere" does not exist')
        else:
            print(" db-#\\n------\\n 94%\\n(1 row)\\n")
        return None

    def emptyline(self):
        return None

    def do_quit(self, line):
        return True

Shell().cmdloop()
"""
PROMPT = "^db=# $"


async def test_python_is_driven_line_by_line(console: Open) -> None:
    session = await console("python3", ["-q"])
    await session.sees("^>>> $", since=0)
    for line, answer in {
        "6 * 7": "^42$",
        "print('a' * 3)": "^aaa$",
        "1 / 0": "^ZeroDivisionError",
    }.items():
        await session.type(line)
        await session.sees(answer)
        await session.sees("^>>> $")
    await session.type("def f(x):\n    return x + 1\n")
    await session.sees("^>>> $")
    await session.type("f(41)")
    assert (await session.sees(r"^\d+$"))["match"] == "42"
    await session.type("input('name? ').upper()")
    await session.sees(r"^name\? $")
    assert (await session.becomes("waiting_for_input"))["state"] == "waiting_for_input"
    await session.type("ada")
    await session.sees("^'ADA'$")
    await session.type("while True: pass\n")
    await session.becomes("executing")
    await session.key("ctrl+c")
    await session.sees("^KeyboardInterrupt$")
    await session.sees("^>>> $")
    await session.type("1 + 1")
    assert (await session.sees(r"^\d+$"))["match"] == "2"


@pytest.mark.parametrize(("end", "code"), [("ctrl+d", 0), ("exit(3)", 3)])
async def test_a_repl_ends_with_its_exit_code(console: Open, end: str, code: int) -> None:
    session = await console("python3", ["-q"])
    await session.sees("^>>> $", since=0)
    if end == "ctrl+d":
        await session.key(end)
    else:
        await session.type(end)
    closed = await session.closed()
    assert (closed["closing"], closed["exitCode"]) == ("exited", code)


async def test_a_database_shell_with_a_prompt_like_others_output(console: Open) -> None:
    session = await console(sys.executable, ["-q", "-c", DATABASE])
    await session.sees(PROMPT, since=0)
    await session.type("select 94")
    await session.sees("^db-# $")
    await session.type("as x;")
    found = await session.sees(r"\((\d+) rows?\)")
    assert found["groups"] == ["1"] and " 94%\n" in found["before"]
    await session.sees(PROMPT)
    await session.type("select * from nowhere;")
    found = await session.sees("ERROR: .*|" + PROMPT)
    assert found["match"].startswith("ERROR")
    await session.type("quit")
    assert (await session.closed())["exitCode"] == 0
    arguments = {"sessionId": session.id, "pattern": "never"}
    error = await refused(session.client, "console_wait_for_output", **arguments)
    assert error["code"] == "SESSION_CLOSED"


async def test_a_database_shell_within_a_shell_is_a_command(
    console: Open, tmp_path: object
) -> None:
    session = await console("bash", environment={"PROGRAM": DATABASE, "PYTHON": sys.executable})
    begun = await session.start('"$PYTHON" -c "$PROGRAM"', options={"timeout": 0})
    await session.sees(PROMPT)
    await session.type("select 1;")
    await session.sees(r"\(1 row\)")
    state = await session.becomes("waiting_for_input")
    assert state["currentCommand"]["commandId"] == begun["commandId"]
    await session.type("quit")
    assert (await session.ended(begun["commandId"]))["exitCode"] == 0
    assert (await session.run("echo back"))["output"] == "back\n"
