from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.embedded.node.machine import Machine, machine


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Engines and weights are installed and fetched once for all tests."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture
async def local(tmp_path: Path, shared_data: Path) -> AsyncIterator[Machine]:
    for shared in ("engines", "cache"):
        (shared_data / shared).mkdir(exist_ok=True)
        (tmp_path / shared).symlink_to(shared_data / shared)
    async with machine(tmp_path) as made:
        yield made
