from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.embedded.node.machine import Machine, machine


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Machine]:
    """An embedded cluster; the test starts its node agent when it wants one."""
    async with machine(tmp_path) as made:
        yield made
