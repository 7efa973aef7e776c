"""Fixtures for unit tests: benches that are closed at the end."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.bench import Bench, Make


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Bench] = []

    async def build(**knobs: Any) -> Bench:
        made.append(Bench(**knobs))
        await made[-1].open()
        return made[-1]

    yield build
    for bench in made:
        await bench.manager.close()
