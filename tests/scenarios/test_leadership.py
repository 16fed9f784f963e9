"""Two candidates for one Lease, on an API server that checks what they write."""

from __future__ import annotations

import asyncio

from kubeai.api.k8s.resources import LEASES
from kubeai.config.system import LeaderElection as Settings
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from kubeai.kube.lease import LeaderElection

#: Who goes gives a server that is busy one period for its answer.
SETTINGS = Settings(lease_duration_s=6, renew_deadline_s=5, retry_period_s=1)
DEADLINE_S = 60


async def test_two_lead_one_after_the_other(access: ClusterAccess) -> None:
    async with Client(access) as client:
        leaders: asyncio.Queue[str] = asyncio.Queue()

        def candidate(name: str) -> asyncio.Task[None]:
            async def work() -> None:
                leaders.put_nowait(name)
                await asyncio.Event().wait()

            return asyncio.create_task(LeaderElection(client, "leader", name, SETTINGS).run(work))

        tasks = {name: candidate(name) for name in ("a", "b")}
        async with asyncio.timeout(DEADLINE_S):
            first = await leaders.get()
            tasks[first].cancel()
            second = await leaders.get()
        assert {first, second} == {"a", "b"}
        spec = (await client.get(LEASES, "leader"))["spec"]
        assert (spec["holderIdentity"], spec["leaseTransitions"]) == (second, 1)
        tasks[second].cancel()
        await asyncio.wait(tasks.values())
        assert (await client.get(LEASES, "leader"))["spec"]["holderIdentity"] == ""
