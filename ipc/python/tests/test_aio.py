"""AsyncClient against the real daemon."""

import asyncio
import signal
import time

import numpy as np

from adder_client import AsyncClient, Decision
from adder_client.client import CONNECTIONS_MAX

LATE_S = 2.0  # by how much a busy machine may delay us; a stopped daemon would for ever


def test_many_at_once_get_the_golden_scores(daemon, golden):
    windows = [window for window in golden if len(window[1]) <= 16]

    async def run():
        async with AsyncClient(daemon.url, timeout_s=60) as client:
            calls = [
                client.score(f"{turn}-{i}", classes, embeddings)
                for turn in range(20)
                for i, (embeddings, classes, _) in enumerate(windows)
            ]
            return await asyncio.gather(*calls), client.counters, len(client._idle)

    replies, counters, connections = asyncio.run(run())
    wanted = [score for _ in range(20) for _, _, score in windows]
    came = [float(reply.scores[0]) for reply in replies]
    np.testing.assert_allclose(came, wanted, rtol=1e-5)
    assert counters["answered"] == len(wanted) and counters["assumed"] == 0
    assert 1 < connections <= CONNECTIONS_MAX
    print(f"{len(wanted)} calls over {connections} connections")


def test_other_calls_work_too(daemon, rows):
    async def run():
        async with AsyncClient(daemon.url) as client:
            await client.ping()
            assert (await client.hello())["models"][0]["dim"] == 64
            await client.score("alice", rows[1], rows[0])
            assert (await client.explain("alice"))["fill"] == 16
            assert await client.forget("alice") and not await client.forget("alice")

    asyncio.run(run())


def test_a_stopped_daemon_is_waited_for_until_the_deadline_and_the_loop_goes_on(daemon, rows):
    async def run():
        async with AsyncClient(daemon.url, timeout_s=0.5) as client:
            client._core.timeout_s = 30
            await client.score("thief", rows[1], rows[0], want_poison=True)
            client._core.timeout_s = 0.5
            daemon.signal(signal.SIGSTOP)
            began = time.monotonic()
            # More than there are connections: the rest wait for a place, and no longer either.
            calls = [client.score("thief", rows[1], rows[0], want_poison=True) for _ in range(100)]
            task = asyncio.gather(*calls)
            ticks = 0
            while not task.done():
                await asyncio.sleep(0.01)
                ticks += 1
            replies, took = await task, time.monotonic() - began
            daemon.signal(signal.SIGCONT)
            client._core.timeout_s = 30
            after = await client.score("thief", rows[1], rows[0])
            return replies, took, ticks, after, client.counters

    replies, took, ticks, after, counters = asyncio.run(run())
    assert 0.4 < took < 0.5 + LATE_S and ticks > 5
    for reply in replies:
        assert reply.assumed and reply.cause == "timed_out"
        assert np.all(reply.decisions == Decision.POISON) and reply.poison.shape == (64, 10)
    assert not after.assumed and counters["answered"] == 2 and counters["timed_out"] == 100


def test_a_cancelled_call_gives_its_connection_back(daemon, rows):
    async def run():
        async with AsyncClient(daemon.url, timeout_s=60) as client:
            await client.ping()
            daemon.signal(signal.SIGSTOP)
            tasks = [asyncio.ensure_future(client.ping()) for _ in range(10)]
            await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in done)
            assert len(client._idle) == 10
            daemon.signal(signal.SIGCONT)
            assert not (await client.score("alice", rows[1], rows[0])).assumed

    asyncio.run(run())
