"""Jobs written in Python: described from their hints, run from their file, each in a process of its own."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from console_automation.adapters.guards import ProcessGuards
from console_automation.app import App
from console_automation.config import Settings
from console_automation.errors import BadRequest
from console_automation.typed import JobContext, describe, job, jobs_of
from tests.conftest import CALM

JOBS = '''
"""Jobs of a test."""
import asyncio, os, sys
from dataclasses import dataclass
from typing import Literal
from pydantic import BaseModel, Field
from console_automation.typed import JobContext, job
from helper import SUFFIX

class Order(BaseModel):
    id: str
    quantity: int = Field(1, ge=1)

@dataclass
class Receipt:
    id: str
    total: float

@job(description="Said here.", retry={"maxAttempts": 3, "backoffMs": 1}, tags=["t"])
def greet(name: str, context: JobContext, style: Literal["plain", "formal"] = "plain") -> dict[str, str]:
    """Greet."""
    context.log(f"attempt {context.attempt}")
    if context.attempt < 2:
        context.fail("not yet")
    assert context.get_logs() == ("attempt 2",)
    return {"message": name + SUFFIX, "job": context.job_id, "style": style}

@job
def take(order: Order) -> Receipt:
    """Take an order.

    More of it.
    """
    return Receipt(order.id, order.quantity * 1.5)

@job(name="import/records")
class BatchImport(JobContext):
    """Import."""
    async def execute(self, records: list[dict[str, int]]) -> int:
        for n, _ in enumerate(records, 1):
            self.progress(n, len(records), f"record {n}")
            await asyncio.sleep(0)
        if not records:
            self.respond(-1)
        return len(records)

@job
def breaks() -> int:
    raise ValueError("no\\nluck")

@job
def lies() -> int:
    return "text"

@job
def schedule(context: JobContext) -> dict:
    return {"metadata": context.metadata, "pid": os.getpid(), "prefix": sys.executable}
'''


@pytest.fixture
def settings() -> Settings:
    return Settings(**CALM)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("SUFFIX = '!'\n")
    path = tmp_path / "some_jobs.py"
    path.write_text(JOBS)
    return path


@pytest.fixture
async def defined(app: App, file: Path) -> App:
    """An app that has the jobs of the file, described by a process of its own as by `job define`."""
    words = ("-m", "console_automation.typed", "describe", str(file))
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=-1)
    out, _ = await process.communicate()
    for each in json.loads(out):
        answer = await app.call("console_register_job", **each)
        assert not answer.is_error, answer.text
    return app


async def test_hints_become_schemas(defined: App) -> None:
    found = (await defined.call("console_list_job_definitions")).view["definitions"]
    schemas = {each["name"]: each["inputSchema"] for each in found}
    assert set(schemas) == {"breaks", "greet", "import/records", "lies", "schedule", "take"}
    assert schemas["greet"]["required"] == ["name"]
    assert schemas["greet"]["properties"]["style"]["enum"] == ["plain", "formal"]
    assert schemas["take"]["properties"]["quantity"]["minimum"] == 1
    by_name = {each["name"]: each for each in found}
    assert by_name["greet"]["description"] == "Said here."
    assert by_name["take"]["description"] == "Take an order."
    assert by_name["lies"]["outputSchema"] == {"type": "integer"}


async def test_a_function_is_called_with_its_input_and_its_context(defined: App) -> None:
    over = await defined.execute_job("greet", name="Ada")
    assert (over["status"], over["attempt"]) == ("completed", 2)
    assert over["result"] == {"message": "Ada!", "job": over["jobId"], "style": "plain"}
    told = await defined.get_background_job_status(over["jobId"])
    assert told["logs"] == ["attempt 1", "attempt 2"]


@pytest.mark.parametrize(
    ("name", "given", "result"),
    [
        ("take", {"id": "x", "quantity": 4}, {"id": "x", "total": 6.0}),
        ("import/records", {"records": [{"a": 1}, {"b": 2}]}, 2),
        ("import/records", {"records": []}, -1),
    ],
)
async def test_models_classes_coroutines_and_early_answers_work(
    defined: App, name: str, given: dict[str, Any], result: object
) -> None:
    over = await defined.execute_job(name, **given)
    assert (over["status"], over.get("result")) == ("completed", result), over
    told = await defined.get_background_job_status(over["jobId"])
    if given.get("records"):
        assert told["progress"] == {"done": 2, "total": 2, "message": "record 2"}


async def test_an_exception_is_the_jobs_error_and_its_traceback_is_in_the_output(
    defined: App,
) -> None:
    over = await defined.execute_job("breaks")
    assert (over["status"], over["exitCode"], over["error"]) == ("failed", 1, "ValueError: no luck")
    page = await defined.get_background_job_output(over["jobId"])
    assert "Traceback" in "".join(each["content"] for each in page["output"])


async def test_a_result_of_another_type_than_was_hinted_fails_the_job(defined: App) -> None:
    over = await defined.execute_job("lies")
    assert (over["status"], over["reason"]) == ("failed", "result")


async def test_a_job_runs_in_another_process_than_whoever_starts_it(defined: App) -> None:
    over = await defined.execute_job("schedule")
    told = await defined.get_background_job_status(over["jobId"])
    import os

    assert over["result"]["pid"] not in (os.getpid(), told.get("pid"))
    assert over["result"]["metadata"] == {}


async def test_half_a_character_is_no_input_for_a_program(app: App) -> None:
    schema = {"properties": {"word": {"type": "string"}}}
    words = {"command": "echo", "args": ["{word}"], "inputSchema": schema}
    await app.call("console_register_job", name="say", **words)
    with pytest.raises(BadRequest, match="half of a surrogate pair"):
        await app.execute_job("say", word="half \ud800")


@pytest.mark.parametrize(
    "schema", [{"description": "\ud800"}, {"properties": {"\ud800": {"type": "string"}}}]
)
async def test_a_schema_with_half_a_character_is_refused_for_no_listing_could_tell_of_it(
    app: App, schema: dict[str, object]
) -> None:
    asked = {"name": "odd", "command": "true", "inputSchema": schema}
    assert "half of a surrogate pair" in (await app.call("console_register_job", **asked)).text
    assert (await app.call("console_list_job_definitions")).view["total"] == 0


async def test_a_program_registers_its_own_jobs(app: App, file: Path) -> None:
    found = jobs_of(str(file))
    await app.register(found["take"], found["greet"])
    assert (await app.execute_job("take", id="y"))["result"]["total"] == 1.5
    with pytest.raises(BadRequest, match="quantity"):
        await app.execute_job("take", id="y", quantity=0)


async def test_a_file_that_has_lost_its_job_fails_it_with_a_reason(app: App, file: Path) -> None:
    await app.register(jobs_of(str(file))["take"])
    file.write_text("")
    over = await app.execute_job("take", id="y")
    assert over["status"] == "failed" and "defines no job 'take' any more" in over["error"]


NAMED = """
import sys
from pydantic import BaseModel, ConfigDict, Field, computed_field
from console_automation.typed import JobContext, job

print("this file talks when it is imported")

class Bill(BaseModel):
    model_config = ConfigDict(extra="forbid")
    total_cents: int = Field(alias="totalCents")
    @computed_field
    @property
    def euros(self) -> float:
        return self.total_cents / 100

@job
def bill() -> Bill:
    return Bill(totalCents=150)

@job
class Own(JobContext):
    def __init__(self):
        self.greeting = "hello"
    def execute(self) -> str:
        self.log(self.greeting)
        return self.get_logs()[0]

@job
def leaves() -> None:
    sys.exit("no more paper")

def agreeable(asked):
    print("asked about", asked["definition"])
    return True

def lavish(asked):
    print(True)
    return False
"""


@pytest.fixture
async def named(app: App, tmp_path: Path) -> App:
    """An app that has the jobs of a file with models of their own names, which prints a line."""
    path = tmp_path / "named_jobs.py"
    path.write_text(NAMED)
    words = ("-m", "console_automation.typed", "describe", str(path))
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=-1, stderr=-1)
    out, said = await process.communicate()
    assert b"this file talks" in said
    for each in json.loads(out):
        assert not (await app.call("console_register_job", **each)).is_error
    return app


@pytest.mark.parametrize(
    ("name", "result"), [("bill", {"totalCents": 150, "euros": 1.5}), ("own", "hello")]
)
async def test_a_result_has_the_names_of_its_schema_and_a_class_may_have_its_own_beginning(
    named: App, name: str, result: object
) -> None:
    over = await named.execute_job(name)
    assert (over["status"], over.get("result")) == ("completed", result), over


async def test_what_a_job_says_when_it_exits_is_its_error(named: App) -> None:
    over = await named.execute_job("leaves")
    assert (over["status"], over["exitCode"], over["error"]) == ("failed", 1, "no more paper")


@pytest.mark.parametrize(("guard", "agrees"), [("agreeable", True), ("lavish", False)])
async def test_what_a_guard_prints_is_not_its_answer(
    named: App, tmp_path: Path, guard: str, agrees: bool
) -> None:
    asked = {"definition": "bill", "input": {}}
    guards = ProcessGuards()
    assert await guards.agrees(f"{tmp_path / 'named_jobs.py'}:{guard}", asked) is agrees


def test_two_jobs_of_one_name_are_refused_and_who_only_inherits_is_no_job(tmp_path: Path) -> None:
    head = "from console_automation.typed import JobContext, job\n"
    (tmp_path / "twice.py").write_text(
        head + "@job\ndef one(): pass\n@job(name='one')\ndef two(): pass\n"
    )
    with pytest.raises(TypeError, match="two jobs named 'one'"):
        jobs_of(str(tmp_path / "twice.py"))
    (tmp_path / "heirs.py").write_text(
        head
        + "@job\nclass One(JobContext):\n    def execute(self): pass\n"
        + "class Two(One): pass\nalso = One\n"
    )
    found = jobs_of(str(tmp_path / "heirs.py"))
    assert [each.__name__ for each in found.values()] == ["One"]


def test_what_is_no_job_is_refused() -> None:
    with pytest.raises(TypeError, match="no job"):
        describe(lambda: None)
    with pytest.raises(TypeError, match="subclass of JobContext"):
        job(int)

    @job
    class Empty(JobContext):
        pass

    with pytest.raises(TypeError, match="no method execute"):
        describe(Empty)

    for unnamed in (_takes_any_number, _takes_any_name, _takes_by_place):
        with pytest.raises(TypeError, match="has to have a name"):
            describe(unnamed)


@job
def _takes_any_number(*rows: int) -> None: ...


@job
def _takes_any_name(**options: str) -> None: ...


@job
def _takes_by_place(row: int, /) -> None: ...
