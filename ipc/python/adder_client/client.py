"""Client: blocking calls over pynng. What both clients share, without waiting, is Core.

Calls that run at the same time have a REQ socket, thus a connection, of their own: a daemon with
NNG 1.5.2 may stop freeing connections after a client died that had several requests on one.
REQ sends a request again when its connection drops, for as long as the call waits; (client, seq)
lets the daemon count it once. A message longer than the daemon takes makes it drop the connection,
so the first score asks hello for the limits, and such messages are refused here.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from typing import Any, Generator, Sequence

import numpy as np
import pynng

from . import wire
from .errors import AdderError
from .guard import Guard
from .tls import SCHEME, Tls, config

SCHEMES = ("ipc://", "tcp://", SCHEME, "inproc://")
TIMEOUT_S_DEFAULT = 5.0
FLAGGED_MAX_DEFAULT = 65536
CONNECTIONS_MAX = 64
REPLY_BYTES_MAX = 256 << 20
REQUEST_ID_BYTES = 4  # what REP puts before a reply; NNG's limit counts it
RECONNECT_MIN_MS, RECONNECT_MAX_MS = 10, 500
RESEND_EXTRA_MS = 60000
MS_MAX = 2**31 - 1

# A conversation: yields requests, is sent their replies, returns what was asked for.
Steps = Generator[bytes, bytes, Any]


class Core:
    """Everything about a client but the waiting. Any number of threads may use one."""

    def __init__(
        self,
        url: str,
        model: str | None,
        timeout_s: float,
        on_failure: str,
        flagged_max: int,
        tls: Tls | None,
    ) -> None:
        if not url.partition("://")[2] or not url.startswith(SCHEMES):
            raise AdderError(
                "bad_request",
                "url: expected ipc://PATH, tcp://HOST:PORT, tls+tcp://HOST:PORT or "
                f"inproc://NAME, came {url!r}",
            )
        if not 0.001 <= timeout_s <= MS_MAX / 1000:
            raise AdderError("bad_request", f"timeout_s: expected at least 0.001, came {timeout_s}")
        if model is not None:
            wire.check_names([model], "model")
        self.url = url
        self.timeout_s = timeout_s
        self.guard = Guard(on_failure, flagged_max)
        self._tls = config(tls, url)
        self._model = model
        self._id = secrets.randbits(64)
        self._seq = itertools.count()
        self._limits: tuple[int, int] | None = None  # rows, message bytes; None: to be asked for
        self._classes, self._hard_label = 0, False  # as hello said last

    def deadline(self) -> float:
        return time.monotonic() + self.timeout_s

    def open_socket(self, **options: Any) -> pynng.Req0:
        """A socket that connects in the background, and again when it must."""
        resend_ms = min(int(self.timeout_s * 1000) + RESEND_EXTRA_MS, MS_MAX)
        try:
            socket = pynng.Req0(
                recv_max_size=REPLY_BYTES_MAX + REQUEST_ID_BYTES,
                reconnect_time_min=RECONNECT_MIN_MS,
                reconnect_time_max=RECONNECT_MAX_MS,
                resend_time=resend_ms,
                tls_config=self._tls,
                **options,
            )
            socket.dial(self.url, block=False)
        except pynng.NNGException as error:
            raise self.failure(error) from None
        return socket

    def failure(self, error: pynng.NNGException | None = None) -> AdderError:
        """What an error of NNG is called; None: the deadline came first."""
        if error is None or isinstance(error, (pynng.Timeout, pynng.TryAgain)):
            return AdderError("timed_out", f"no reply from {self.url} within {self.timeout_s} s")
        return AdderError("unreachable", f"{self.url}: {error}")

    def left_ms(self, deadline: float) -> int:
        left = int((deadline - time.monotonic()) * 1000)
        if left < 1:
            raise self.failure()
        return left

    def hello(self) -> Steps:
        info = wire.reply((yield wire.request("hello")))
        limits = wire.member(info, "limits", dict)
        self._limits = (
            wire.member(limits, "rows_max", int),
            wire.member(limits, "message_bytes_max", int),
        )
        for model in wire.member(info, "models", list):
            if isinstance(model, dict) and self._model in (None, model.get("name")):
                self._classes = wire.member(model, "classes", int)
                self._hard_label = model.get("output") == "hard"
        return info

    def ping(self) -> Steps:
        wire.reply((yield wire.request("ping")))

    def _named(self, op: str, name: str, group: bool, **fields: Any) -> Steps:
        wire.check_names([name], "group" if group else "account")
        whom = {"group" if group else "account": name}
        reply = wire.reply((yield wire.request(op, model=self._model, **whom, **fields)))
        return reply if wire.member(reply, "known", bool) else None

    def explain(self, name: str, group: bool) -> Steps:
        return (yield from self._named("explain", name, group))

    def forget(self, name: str, group: bool) -> Steps:
        reply = yield from self._named("forget", name, group, client=self._id, seq=next(self._seq))
        self.guard.forget(name, group)
        return reply is not None

    def score(self, rows: wire.Rows, deadline: float) -> Steps:
        limits = self._limits
        if limits is None:
            yield from self.hello()
            limits = self._limits or (0, 0)
        if rows.count > limits[0]:
            raise AdderError("too_large", f"rows: expected at most {limits[0]}, came {rows.count}")
        message = wire.score_request(
            rows, self._model, self._id, next(self._seq), self.left_ms(deadline)
        )
        if len(message) > limits[1]:
            raise AdderError(
                "too_large",
                f"rows: {rows.count} are a message of {len(message)} bytes, "
                f"expected at most {limits[1]}",
            )
        reply = wire.score_reply((yield message), rows.count)
        self.guard.learn(rows, reply)
        return reply

    def instead(self, rows: wire.Rows, error: AdderError) -> wire.Reply:
        """The failure policy's reply, or error raised. The next score asks for limits again, since
        another daemon may answer it."""
        if error.code in ("timed_out", "unreachable"):
            self._limits = None
        return self.guard.answer(rows, self._classes, self._hard_label, error)


class Client:
    """Calls that block, at most timeout_s each. Any number of threads may share one client; it
    opens a connection for each call that runs at the same time, 64 at most, and keeps them.

    url: ipc://PATH, tcp://HOST:PORT or, with tls, tls+tcp://HOST:PORT. Opening connects in the
    background and succeeds while the daemon is still starting. model: needed only where a daemon
    serves several. on_failure: what score answers when the daemon does not within timeout_s, or
    says that it cannot now (codes timed_out, unreachable, overloaded, draining, internal, expired):
    "keep" poisons accounts last known as flagged, at most flagged_max of them, and allows the
    others; "allow" allows all. Such a reply has ``assumed`` set and is counted. A request that a
    daemon refused for what is in it raises AdderError whatever the policy. NNG does not survive a
    fork: open the client in the child.
    """

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
        self._idle = [self._core.open_socket()]  # the first, so that a bad address is said now
        self._lock = threading.Lock()
        self._places = threading.Semaphore(CONNECTIONS_MAX)
        self._closed = False

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections; not while a call is running. More than once is allowed."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for socket in idle:
            socket.close()

    @property
    def counters(self) -> dict[str, int]:
        """Scores since opening: answered by the daemon, refused (AdderError was raised), assumed
        and by which cause, their rows and of these the poisoned; flagged accounts remembered now,
        and how many were evicted from that memory."""
        return self._core.guard.counters()

    def score(
        self,
        accounts: str | Sequence[str],
        classes: np.ndarray,
        embeddings: np.ndarray,
        groups: str | Sequence[str | None] | None = None,
        want_poison: bool = False,
        detail: bool = False,
        dtype: str | None = None,
    ) -> wire.Reply:
        """Scores N rows. accounts and groups: N names of 1 to 128 bytes of UTF-8, or one for all
        rows; classes [N]: what the model predicted, any integers; embeddings [N, dim]: float32 or
        float16, or bf16 in uint16 with dtype="bf16"; float64 is rounded to float32. C-contiguous
        little-endian embeddings and uint32 classes are copied into the message and nowhere else.
        An answer by the failure policy comes after timeout_s and the time it takes to draw poison.
        """
        deadline = self._core.deadline()
        rows = wire.rows(accounts, classes, embeddings, groups, dtype, want_poison, detail)
        try:
            return self._run(self._core.score(rows, deadline), deadline)
        except AdderError as error:
            return self._core.instead(rows, error)

    def hello(self) -> dict[str, Any]:
        """What serves: version, engine, limits, models, counts. The README names the keys."""
        return self._run(self._core.hello(), self._core.deadline())

    def ping(self) -> None:
        """Returns when the daemon answered."""
        self._run(self._core.ping(), self._core.deadline())

    def explain(self, name: str, group: bool = False) -> dict[str, Any] | None:
        """Why the account, or group, has its verdict; None: nobody is called so. For operators,
        never for end users."""
        return self._run(self._core.explain(name, group), self._core.deadline())

    def forget(self, name: str, group: bool = False) -> bool:
        """Drops an account's, or group's, window, memory and flag: whether there was one."""
        return self._run(self._core.forget(name, group), self._core.deadline())

    def _run(self, steps: Steps, deadline: float) -> Any:
        try:
            message = next(steps)
            while True:
                message = steps.send(self._exchange(message, deadline))
        except StopIteration as end:
            return end.value

    def _exchange(self, message: bytes, deadline: float) -> bytes:
        if not self._places.acquire(timeout=self._core.left_ms(deadline) / 1000):
            raise self._core.failure()
        try:
            socket = self._take()
            try:
                socket.send_timeout = self._core.left_ms(deadline)
                socket.send(message)
                socket.recv_timeout = self._core.left_ms(deadline)
                return socket.recv()
            except pynng.NNGException as error:
                raise self._core.failure(error) from None
            finally:
                self._give(socket)  # after a failure too: the next send drops what was before
        finally:
            self._places.release()

    def _take(self) -> pynng.Req0:
        with self._lock:
            if self._closed:
                raise AdderError("closed", "the client was closed")
            if self._idle:
                return self._idle.pop()
        return self._core.open_socket()

    def _give(self, socket: pynng.Req0) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(socket)
                return
        socket.close()
