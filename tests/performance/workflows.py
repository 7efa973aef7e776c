"""B15: workflows of 1,000 steps, wide, deep and as a diamond, beside the same jobs without a workflow.

The floor is made of plain jobs of the same definition, each depending on the same others (`dependsOn`)
as the step does. So what is measured is what a workflow costs beyond its jobs. Beside that: what it takes
to register such a workflow.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from console_automation.app import open_app
from console_automation.config import Settings
from console_automation.core.access import LOCAL
from console_automation.core.definition import Caller, JobDefinition
from console_automation.core.job import Status
from console_automation.core.workflow import Step, Workflow
from console_automation.engine.engine import Engine
from tests.performance.harness import TRUE, Row, ms, p50, times
from tests.performance.product import CALM, state_directory

_STEPS = 1_000
_ROUNDS = 3
_MOST = 1.2
_PATIENCE = 600.0
_CALLER = Caller(client="bench", principal="local", environment={"PATH": "/usr/bin:/bin"}, cwd="/")

#: The numbers of steps that can be submitted together; each level depends on the whole level before.
_SHAPES: Mapping[str, Sequence[range]] = {
    "wide": [range(_STEPS)],
    "deep": [range(number, number + 1) for number in range(_STEPS)],
    "diamond": [range(1), range(1, _STEPS - 1), range(_STEPS - 1, _STEPS)],
}


def thousand_steps() -> list[Row]:
    """B15: from the first submission to the last end, by step."""
    with state_directory() as home:
        return asyncio.run(_measure(home))


async def _measure(home: Path) -> list[Row]:
    rows = []
    async with open_app(home, Settings(**CALM)) as app:
        engine = app.engine
        await engine.definitions.register(JobDefinition(name="true", command=TRUE, args=()), LOCAL)
        for shape, levels in _SHAPES.items():
            pairs = []
            registering: list[float] = []
            for number in range(_ROUNDS):
                if number % 2:
                    late = await _workflow(engine, levels, registering)
                    pairs.append((await _jobs(engine, levels), late))
                else:
                    floor = await _jobs(engine, levels)
                    pairs.append((floor, await _workflow(engine, levels, registering)))
            ratio = p50([figure / floor for floor, figure in pairs])
            rows.append(
                Row(
                    budget="B15",
                    what=f"a step of a workflow of 1,000, {shape}",
                    figure=ms(p50([figure for _, figure in pairs]) / _STEPS),
                    floor=f"{ms(p50([floor for floor, _ in pairs]) / _STEPS)} a plain job",
                    ratio=times(ratio),
                    limit=f"≤ {_MOST} x",
                    met=ratio <= _MOST,
                )
            )
            rows.append(
                Row(budget="B15", what=f"registering it, {shape}", figure=ms(p50(registering)))
            )
    return rows


async def _jobs(engine: Engine, levels: Sequence[range]) -> float:
    """Return how long plain jobs take that depend on each other in this way."""
    began = time.perf_counter()
    ids: list[str] = []
    above: tuple[str, ...] = ()
    for level in levels:
        above = tuple(await asyncio.gather(*(_submit(engine, above) for _ in level)))
        ids += above
    over = await engine.jobs.wait(ids, timeout=_PATIENCE)
    taken = time.perf_counter() - began
    if not all(job.status is Status.COMPLETED for job in over):
        raise RuntimeError("a job did not complete")
    return taken


async def _submit(engine: Engine, above: tuple[str, ...]) -> str:
    spec = await engine.definitions.job_spec("true", {}, _CALLER)
    return (await engine.jobs.submit(replace(spec, depends_on=above))).id


async def _workflow(engine: Engine, levels: Sequence[range], registering: list[float]) -> float:
    """Return how long a workflow takes whose steps do."""
    above: tuple[str, ...] = ()
    steps: list[Step] = []
    for level in levels:
        names = tuple(f"s{number}" for number in level)
        steps += [Step(id=name, job="true", depends_on=above) for name in names]
        above = names
    workflow = Workflow(name="w", steps=tuple(steps), timeout=_PATIENCE)
    began = time.perf_counter()
    kept, _ = await engine.workflows.registry.register(workflow, {}, _CALLER)
    registered = time.perf_counter()
    run = await engine.workflows.execute(kept, {}, _CALLER)
    run = await engine.workflows.runs.wait(run.id, timeout=_PATIENCE)
    taken = time.perf_counter() - registered
    registering.append(registered - began)
    if run.status is not Status.COMPLETED:
        raise RuntimeError(f"{run.id} is {run.status}: {run.error}")
    return taken
