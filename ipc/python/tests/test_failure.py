"""The failure policy: what is answered when the daemon is stopped, away, busy or talks nonsense."""

import signal
import threading
import time

import msgpack
import numpy as np
import pynng
import pytest

from adder_client import AdderError, Client, Decision, Verdict, wire
from adder_client.guard import Guard

LATE_S = 2.0  # by how much a busy machine may delay us; a stopped daemon would for ever
ACCOUNTS = ["alice", "thief"] * 32


def learned_and_stopped(daemon, rows, **options):
    """A client that has had one answer of the daemon, which then stopped. The deadline is short
    only after that."""
    client = Client(daemon.url, timeout_s=30, **options)
    client.score(ACCOUNTS, rows[1], rows[0], want_poison=True)
    daemon.signal(signal.SIGSTOP)
    client._core.timeout_s = 0.2
    return client


def test_keep_poisons_who_was_flagged_within_the_deadline(daemon, rows):
    with learned_and_stopped(daemon, rows) as client:
        began = time.monotonic()
        reply = client.score(ACCOUNTS, rows[1], rows[0], want_poison=True)
        took = time.monotonic() - began
        again = client.score(ACCOUNTS, rows[1], rows[0], want_poison=True)
        counters = client.counters
        with pytest.raises(AdderError) as raised:
            client.ping()
        daemon.signal(signal.SIGCONT)
        client._core.timeout_s = 30
        after = client.score(ACCOUNTS, rows[1], rows[0])
    print(f"answered {took - 0.2:.4f} s after the deadline")
    assert 0.15 < took < 0.2 + LATE_S and raised.value.code == "timed_out"
    assert reply.assumed and reply.cause == "timed_out" and np.all(np.isnan(reply.scores))
    assert list(reply.decisions) == [Decision.ALLOW, Decision.POISON] * 32
    assert list(reply.verdicts) == [Verdict.UNDECIDED, Verdict.FLAGGED] * 32
    assert list(reply.poison_rows) == list(range(1, 64, 2))
    assert np.all(reply.poison.argmax(axis=1) != rows[1][1::2]) and np.all(reply.poison >= 0)
    np.testing.assert_allclose(reply.poison.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(reply.poison, again.poison)  # averaging reveals nothing
    assert counters["assumed"] == counters["timed_out"] == 2 and counters["flagged"] == 1
    assert counters["assumed_rows"] == 128 and counters["assumed_poison_rows"] == 64
    assert not after.assumed and after.decisions[1] == Decision.POISON


def test_allow_allows_everyone(daemon, rows):
    with learned_and_stopped(daemon, rows, on_failure="allow") as client:
        reply = client.score(ACCOUNTS, rows[1], rows[0], want_poison=True)
        assert client.counters["assumed"] == 1 and client.counters["assumed_poison_rows"] == 0
    assert reply.assumed and np.all(reply.decisions == Decision.ALLOW) and reply.poison is None
    np.testing.assert_array_equal(reply.apply(np.eye(64)), np.eye(64))


@pytest.mark.parametrize(
    "flags, decision",
    [
        (("--mode", "shadow"), Decision.ALLOW),
        (("--action", "flag"), Decision.ALLOW),
        (("--action", "label_only"), Decision.LABEL_ONLY),
        (("--output", "hard"), Decision.POISON),
    ],
)
def test_keep_does_what_the_daemon_did(stopped, rows, flags, decision):
    with learned_and_stopped(stopped.start(*flags), rows) as client:
        reply = client.score("thief", rows[1], rows[0], want_poison=True)
    assert reply.assumed and np.all(reply.decisions == decision)
    assert np.all(reply.verdicts == Verdict.FLAGGED) and reply.poison is None
    if "hard" in flags:
        assert np.all(reply.poison_labels != rows[1]) and np.all(reply.poison_labels < 10)


def test_a_daemon_that_was_never_there_allows(tmp_path, rows):
    with Client(f"ipc://{tmp_path}/none", timeout_s=0.1) as client:
        reply = client.score(ACCOUNTS, rows[1], rows[0], want_poison=True)
        assert client.counters["assumed"] == 1
    assert reply.assumed and np.all(reply.decisions == Decision.ALLOW)


def test_another_daemons_limits_are_asked_for_again(stopped, rows):
    with learned_and_stopped(stopped.start(), rows) as client:
        assert client.score(ACCOUNTS, rows[1], rows[0]).assumed
        stopped.stop()
        assert client.score(ACCOUNTS, rows[1], rows[0]).assumed
        stopped.start("--max-rows", "32")
        client._core.timeout_s = 30
        with pytest.raises(AdderError) as raised:
            client.score(ACCOUNTS, rows[1], rows[0])
        assert raised.value.code == "too_large" and raised.value.message.startswith("rows:")
        assert not client.score("alice", rows[1][:32], rows[0][:32]).assumed


def test_who_was_forgotten_or_came_clean_is_allowed(daemon, rows):
    with Client(daemon.url, timeout_s=30) as client:
        client.score(ACCOUNTS, rows[1], rows[0])
        assert client.counters["flagged"] == 1
        client.forget("thief")
        assert client.counters["flagged"] == 0
    checked = wire.rows("bob", rows[1], rows[0], None, None, False, False)
    guard = Guard("keep", 10)
    for decision, remembered in ((Decision.POISON, 1), (Decision.WARMING, 0)):
        decisions = np.full(64, decision, np.uint8)
        guard.learn(checked, wire.Reply(decisions, decisions, decisions))
        assert guard.counters()["flagged"] == remembered


def test_a_flagged_group_is_remembered_for_accounts_not_yet_seen():
    guard = Guard("keep", 10)
    embeddings, classes = np.zeros((2, 2), np.float32), np.zeros(2, np.uint32)
    flagged = np.array([1, 0], np.uint8)
    rows = wire.rows(["a", "b"], classes, embeddings, ["gang", None], None, False, True)
    guard.learn(rows, wire.Reply(flagged, flagged, flagged, group_verdicts=flagged))
    new = wire.rows(["new", "gang"], classes, embeddings, ["gang", None], None, False, False)
    reply = guard.answer(new, 0, False, AdderError("timed_out", ""))
    assert list(reply.decisions) == [Decision.POISON, Decision.ALLOW]
    friend = wire.rows(["f", "g"], classes, embeddings, ["gang", None], None, False, True)
    allowed = np.zeros(2, np.uint8)
    reasons = np.array([wire.Reason.ALLOWED, wire.Reason.NONE], np.uint8)
    guard.learn(
        friend, wire.Reply(allowed, allowed, allowed, group_verdicts=flagged, reasons=reasons)
    )
    reply = guard.answer(new, 0, False, AdderError("timed_out", ""))
    assert reply.decisions[0] == Decision.POISON, "one of the gang is on the allow-list"
    guard.forget("gang", group=True)
    reply = guard.answer(new, 0, False, AdderError("timed_out", ""))
    assert list(reply.decisions) == [Decision.ALLOW] * 2


def test_memory_of_the_flagged_is_bounded_and_the_least_recent_goes():
    guard = Guard("keep", 100)
    embeddings = np.zeros((50, 2), np.float32)
    classes = np.zeros(50, np.uint32)
    flagged = np.ones(50, np.uint8)
    for turn in range(20):
        names = ["regular"] + [f"{turn}-{i}" for i in range(49)]
        rows = wire.rows(names, classes, embeddings, None, None, False, False)
        guard.learn(rows, wire.Reply(flagged, flagged, flagged, verdicts=flagged))
        assert guard.counters()["flagged"] <= 100
    assert guard.counters()["flagged"] == 100 and guard.counters()["evicted"] == 981 - 100
    names = ["regular", "0-1", "19-48"]
    rows = wire.rows(names, classes[:3], embeddings[:3], None, None, True, False)
    reply = guard.answer(rows, 2, False, AdderError("timed_out", ""))
    assert list(reply.decisions) == [Decision.POISON, Decision.ALLOW, Decision.POISON]


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
def test_drawn_poison_is_wrong_and_spread_evenly(classes):
    count = 4000
    rng = np.random.default_rng(1)
    embeddings = rng.standard_normal((count, 4), np.float32)
    predicted = rng.integers(0, classes, count)
    rows = wire.rows("thief", predicted, embeddings, None, None, True, False)
    one = np.ones(count, np.uint8)
    guard = Guard("keep", 1)
    guard.learn(rows, wire.Reply(one, one, one, verdicts=one))
    reply = guard.answer(rows, classes, False, AdderError("timed_out", ""))
    labels = reply.poison.argmax(axis=1)
    assert np.all(labels != predicted) and np.all(reply.poison >= 0)
    assert np.all(reply.poison[np.arange(count), labels] > 0.5)
    np.testing.assert_allclose(reply.poison.sum(axis=1), 1, rtol=1e-5)
    # Steps from the predicted label are uniform: chi-square within 5 of its standard deviations.
    steps = np.bincount((labels - predicted) % classes, minlength=classes)[1:]
    expected = count / (classes - 1)
    chi2 = ((steps - expected) ** 2 / expected).sum()
    assert chi2 < classes - 1 + 5 * np.sqrt(2 * (classes - 1))


class Stub(threading.Thread):
    """Says hello as a daemon does, and to everything else what a test wants."""

    def __init__(self, url, answer):
        super().__init__(daemon=True)
        self.answer = answer
        self.socket = pynng.Rep0(listen=url)
        self.start()

    def run(self):
        limits = {"rows_max": 100, "message_bytes_max": 10**6}
        hello = {"v": 1, "status": "ok", "limits": limits, "models": [{"classes": 10}]}
        try:
            while True:
                asked = msgpack.unpackb(self.socket.recv())
                said = hello if asked["op"] == "hello" else self.answer
                self.socket.send(said if isinstance(said, bytes) else msgpack.packb(said))
        except pynng.Closed:
            pass


@pytest.mark.parametrize("code", ["overloaded", "draining", "internal", "expired"])
def test_a_daemon_that_cannot_is_as_good_as_none(tmp_path, rows, code):
    url = f"ipc://{tmp_path}/stub"
    stub = Stub(url, {"v": 1, "status": "error", "code": code, "message": "not now"})
    with Client(url, timeout_s=30) as client:
        reply = client.score("alice", rows[1], rows[0])
        assert reply.assumed and reply.cause == code and client.counters[code] == 1
    stub.socket.close()


def test_the_daemon_says_when_to_come_again_and_is_told_how_long_we_wait(tmp_path, rows):
    checked = wire.rows("alice", rows[1], rows[0], None, None, False, False)
    asked = msgpack.unpackb(wire.score_request(checked, None, 1, 2, 1234))
    assert asked["deadline_ms"] == 1234
    refusal = {"v": 1, "status": "error", "code": "overloaded", "message": "not now"}
    for hint, expected in ((70, 70), (None, None), ("soon", None), (-1, None)):
        said = refusal if hint is None else {**refusal, "retry_after_ms": hint}
        with pytest.raises(AdderError) as raised:
            wire.reply(msgpack.packb(said))
        assert raised.value.retry_after_ms == expected


@pytest.mark.parametrize(
    "code, answer",
    [
        ("bad_request", {"v": 1, "status": "error", "code": "bad_request", "message": "no"}),
        ("bad_reply", b"nonsense"),
        ("bad_reply", {"v": 1, "status": "ok"}),
    ],
)
def test_what_is_wrong_with_a_request_or_a_reply_is_raised(tmp_path, rows, code, answer):
    url = f"ipc://{tmp_path}/stub"
    stub = Stub(url, answer)
    with Client(url, timeout_s=30) as client:
        with pytest.raises(AdderError) as raised:
            client.score("alice", rows[1], rows[0])
        assert raised.value.code == code and client.counters["refused"] == 1
    stub.socket.close()
