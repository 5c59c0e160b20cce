"""AsyncClient: the same calls for asyncio, without threads of its own.

A send that would have to wait is tried again a little later instead of being handed to pynng's
asend, which leaks the message when it times out (seen with 0.9: 200 MiB of 200 messages of 1 MiB).
"""

from __future__ import annotations

import asyncio
from typing import Any, Sequence

import numpy as np
import pynng

from . import wire
from .client import CONNECTIONS_MAX, FLAGGED_MAX_DEFAULT, TIMEOUT_S_DEFAULT, Core, Steps
from .errors import AdderError
from .tls import Tls

RETRY_MIN_S, RETRY_MAX_S = 0.0005, 0.01


class AsyncClient:
    """As Client, in one event loop: any number of tasks may share it, 64 calls are under way at
    once and the others wait for their turn until their deadline. A deadline holds as far as
    nothing else keeps the loop busy. A cancelled call gives its connection back."""

    def __init__(
        self,
        url: str,
        model: str | None = None,
        timeout_s: float = TIMEOUT_S_DEFAULT,
        on_failure: str = "keep",
        flagged_max: int = FLAGGED_MAX_DEFAULT,
        tls: Tls | None = None,
    ) -> None:
        self._core = Core(url, model, timeout_s, on_failure, flagged_max, tls)
        self._idle = [self._open()]
        self._places = asyncio.Semaphore(CONNECTIONS_MAX)
        self._closed = False

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections; not while a call is running. More than once is allowed."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    @property
    def counters(self) -> dict[str, int]:
        """See Client.counters."""
        return self._core.guard.counters()

    async def score(
        self,
        accounts: str | Sequence[str],
        classes: np.ndarray,
        embeddings: np.ndarray,
        groups: str | Sequence[str | None] | None = None,
        want_poison: bool = False,
        detail: bool = False,
        dtype: str | None = None,
    ) -> wire.Reply:
        """See Client.score."""
        deadline = self._core.deadline()
        rows = wire.rows(accounts, classes, embeddings, groups, dtype, want_poison, detail)
        try:
            return await self._run(self._core.score(rows, deadline), deadline)
        except AdderError as error:
            return self._core.instead(rows, error)

    async def hello(self) -> dict[str, Any]:
        """See Client.hello."""
        return await self._run(self._core.hello(), self._core.deadline())

    async def ping(self) -> None:
        """See Client.ping."""
        await self._run(self._core.ping(), self._core.deadline())

    async def explain(self, name: str, group: bool = False) -> dict[str, Any] | None:
        """See Client.explain."""
        return await self._run(self._core.explain(name, group), self._core.deadline())

    async def forget(self, name: str, group: bool = False) -> bool:
        """See Client.forget."""
        return await self._run(self._core.forget(name, group), self._core.deadline())

    def _open(self) -> pynng.Req0:
        return self._core.open_socket(async_backend="asyncio")

    async def _run(self, steps: Steps, deadline: float) -> Any:
        try:
            message = next(steps)
            while True:
                message = steps.send(await self._exchange(message, deadline))
        except StopIteration as end:
            return end.value

    async def _exchange(self, message: bytes, deadline: float) -> bytes:
        try:
            if self._places.locked():
                await asyncio.wait_for(self._places.acquire(), self._core.left_ms(deadline) / 1000)
            else:
                await self._places.acquire()  # at once, and without a task of its own
        except asyncio.TimeoutError:
            raise self._core.failure() from None
        try:
            if self._closed:
                raise AdderError("closed", "the client was closed")
            socket = self._idle.pop() if self._idle else self._open()
            try:
                await self._send(socket, message, deadline)
                socket.recv_timeout = self._core.left_ms(deadline)
                return await socket.arecv()
            except pynng.NNGException as error:
                raise self._core.failure(error) from None
            finally:
                if self._closed:
                    socket.close()
                else:
                    self._idle.append(socket)
        finally:
            self._places.release()

    async def _send(self, socket: pynng.Req0, message: bytes, deadline: float) -> None:
        pause_s = RETRY_MIN_S
        while True:
            try:
                socket.send(message, block=False)
                return
            except pynng.TryAgain:
                left_s = self._core.left_ms(deadline) / 1000
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, RETRY_MAX_S)
