"""Client.score and its neighbours against the real daemon."""

import threading

import msgpack
import numpy as np
import pynng
import pytest

from adder_client import AdderError, Client, Decision, Reason, Verdict, wire

TOLERANCE = 1e-5  # what the engines promise of a score, relative, against float64


def refused(code, call, *arguments, **options):
    with pytest.raises(AdderError) as raised:
        call(*arguments, **options)
    assert raised.value.code == code, raised.value
    return raised.value.message


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_golden_windows_are_scored_within_1e5(stopped, golden, dtype):
    largest = max(len(classes) for _, classes, _ in golden)
    stopped.start("--window", str(largest), "--min-fill", "1")
    worst = 0.0
    with Client(stopped.url) as client:
        for i, (embeddings, classes, score) in enumerate(golden):
            reply = client.score(f"window-{i}", classes, embeddings.astype(dtype))
            assert np.all(reply.fill == len(classes)) and np.all(reply.scores == reply.scores[0])
            worst = max(worst, abs(float(reply.scores[0]) / score - 1))
    print(f"largest relative error of {len(golden)} windows, {np.dtype(dtype)}: {worst:.1e}")
    assert worst <= TOLERANCE


def test_bf16_is_scored_as_the_floats_that_it_stands_for(daemon, rows):
    bits = rows[0].astype(np.float32).view(np.uint32) >> 16
    with Client(daemon.url) as client:
        short = client.score("short", rows[1], bits.astype(np.uint16), dtype="bf16")
        long = client.score("long", rows[1], (bits << 16).view(np.float32))
    np.testing.assert_array_equal(short.scores, long.scores)


def test_whatever_the_arrays_layout_the_scores_are_the_same(daemon, rows):
    embeddings, classes = rows[0].astype(np.float32), rows[1]
    wide = np.zeros((64, 128), np.float32)
    wide[:, ::2] = embeddings
    ways = {
        "plain": (embeddings, classes.astype(np.uint32)),
        "strided": (wide[:, ::2], np.repeat(classes.astype(np.int64), 2)[::2]),
        "columns first": (np.asfortranarray(embeddings), classes),
        "big-endian": (embeddings.astype(">f4"), classes.astype(">i4")),
        "float64": (embeddings.astype(np.float64), classes.tolist()),
    }
    with Client(daemon.url) as client:
        scores = [client.score(name, k, e).scores for name, (e, k) in ways.items()]
    for other in scores[1:]:
        np.testing.assert_array_equal(other, scores[0])


def test_plain_arrays_are_passed_on_and_replies_are_views(daemon, rows):
    embeddings, classes = rows[0], rows[1].astype(np.uint32)
    for given in (embeddings, embeddings.astype(np.float32)):
        checked = wire.rows("alice", classes, given, None, None, False, False)
        assert np.shares_memory(checked.embeddings, given)
        assert np.shares_memory(checked.classes, classes)
    with Client(daemon.url) as client:
        reply = client.score("alice", classes, embeddings)
    assert not reply.scores.flags.owndata and not reply.scores.flags.writeable


def test_a_repeated_request_is_counted_once(daemon, rows):
    checked = wire.rows("alice", rows[1][:5], rows[0][:5], None, None, False, False)
    message = wire.score_request(checked, None, client=7, seq=1, deadline_ms=9)
    with pynng.Req0(dial=daemon.url, recv_timeout=10000, send_timeout=10000) as socket:
        replies = []
        for _ in range(2):
            socket.send(message)
            replies.append(socket.recv())
    assert replies[0] == replies[1]
    with Client(daemon.url) as client:
        assert client.score("alice", rows[1][:1], rows[0][:1]).fill[0] == 6


def test_refusals_carry_their_code_and_change_nothing(daemon, rows):
    embeddings, classes = rows[0].astype(np.float32), rows[1]
    hole = embeddings.copy()
    hole[3, 5] = np.nan
    huge = np.full((64, 64), 1e300)
    many = np.zeros((8193, 64), np.float16)
    with Client(daemon.url) as client, Client(daemon.url, model="other") as other:
        short = embeddings[:, 1:]
        assert "embeddings" in refused("bad_dimension", client.score, "a", classes, short)
        assert "classes" in refused("bad_class", client.score, "a", classes + 10, embeddings)
        assert "embeddings" in refused("not_finite", client.score, "a", classes, hole)
        refused("not_finite", client.score, "a", classes, huge)
        refused("unknown_model", other.score, "a", classes, embeddings)
        refused("too_large", client.score, "a", np.zeros(8193, int), many)
        refused("bad_request", client.score, "a\0", classes, embeddings)
        assert client.counters["refused"] == 6 and client.counters["assumed"] == 0
        assert client.explain("a") is None


def test_bad_arguments_are_refused_here(daemon, rows):
    embeddings, classes = rows
    with Client(daemon.url) as client:
        for code, arguments in (
            ("bad_request", (["a"] * 63, classes, embeddings)),
            ("bad_request", ("", classes, embeddings)),
            ("bad_request", ("é" * 65, classes, embeddings)),
            ("bad_request", ("\ud800", classes, embeddings)),
            ("bad_request", ([7] * 64, classes, embeddings)),
            ("bad_request", ([[]] * 64, classes, embeddings)),
            ("bad_request", ("a", classes[1:], embeddings)),
            ("bad_request", ("a", classes.astype(float), embeddings)),
            ("bad_class", ("a", classes.astype(int) - 1 - classes.max(), embeddings)),
            ("bad_class", ("a", classes.astype(int) + 2**32, embeddings)),
            ("bad_request", ("a", classes, embeddings.astype(int))),
            ("bad_request", ("a", classes, embeddings[0])),
            ("bad_request", ("a", classes[:0], embeddings[:0])),
            ("bad_request", ("a", classes, embeddings, ["g"])),
            ("bad_request", ("a", classes, embeddings, [None, 3] * 32)),
        ):
            refused(code, client.score, *arguments)
        refused("bad_request", client.score, "a", classes, embeddings, dtype="f64")
        refused("bad_request", client.score, "a", classes, embeddings, dtype="bf16")
        refused("bad_request", client.explain, "")
        assert client.hello()["rows"] == 0
    for url, options in (
        ("/run/adder.sock", {}),
        ("ipc://", {}),
        ("ipc:///x", {"timeout_s": 0}),
        ("ipc:///x", {"on_failure": "retry"}),
        ("ipc:///x", {"flagged_max": 0}),
    ):
        refused("bad_request", Client, url, **options)
    refused("closed", client.ping)


def test_groups_are_scored_as_accounts_of_their_own(daemon, rows):
    embeddings, classes = rows[0][:4], rows[1][:4]
    with Client(daemon.url) as client:
        accounts = ["a", "b", "c", "d"]
        reply = client.score(accounts, classes, embeddings, ["g", "g", None, "g"], detail=True)
        alone = client.score("g", classes[[0, 1, 3]], embeddings[[0, 1, 3]])
        assert reply.group_scores[[0, 1, 3]] == pytest.approx(alone.scores, rel=TOLERANCE)
        assert reply.group_scores[2] == 0 and list(reply.fill) == [1, 1, 1, 1]
        assert client.explain("g", group=True)["kind"] == "group"
        assert client.forget("g", group=True) and not client.forget("g", group=True)
        assert client.forget("a") and client.explain("a") is None


def test_poison_replaces_the_rows_of_who_is_flagged(daemon, rows):
    accounts = ["alice", "thief"] * 8
    embeddings, classes = rows[0][:16], rows[1][:16]
    probabilities = np.eye(10, dtype=np.float32)[classes]
    with Client(daemon.url) as client:
        reply = client.score(accounts, classes, embeddings, want_poison=True, detail=True)
        bare = client.score(accounts, classes, embeddings)
    assert list(reply.decisions) == [Decision.ALLOW, Decision.POISON] * 8
    assert list(reply.verdicts) == [Verdict.CLEAN, Verdict.FLAGGED] * 8
    assert list(reply.reasons) == [Reason.NONE, Reason.DENIED] * 8
    assert list(reply.poison_rows) == list(range(1, 16, 2)) and reply.poison.shape == (8, 10)
    assert not reply.assumed and not reply.degraded and reply.model == "default"
    answers = reply.apply(probabilities)
    np.testing.assert_array_equal(answers[::2], probabilities[::2])
    np.testing.assert_array_equal(answers[1::2], reply.poison)
    assert np.all(answers[1::2].argmax(axis=1) != classes[1::2])
    refused("bad_request", bare.apply, probabilities)
    refused("bad_request", reply.apply, probabilities[1:])


@pytest.mark.parametrize("flags", [("--output", "hard"), ("--action", "label_only")])
def test_labels_are_applied_as_certain(stopped, rows, flags):
    stopped.start(*flags)
    probabilities = np.full((64, 10), 0.05) + 0.5 * np.eye(10)[rows[1]]
    with Client(stopped.url) as client:
        reply = client.score("thief", rows[1], rows[0], want_poison=True)
    answers = reply.apply(probabilities)
    assert np.all(answers.max(axis=1) == 1) and np.all(answers.sum(axis=1) == 1)
    label_only = "label_only" in flags
    assert np.all((answers.argmax(axis=1) == rows[1]) == label_only)
    assert (reply.poison_labels is None) == label_only


def test_threads_share_a_client(daemon, golden):
    windows = [window for window in golden if len(window[1]) <= 16][:8]
    errors = []

    def work(client, thread):
        for i, (embeddings, classes, score) in enumerate(windows):
            reply = client.score(f"{thread}-{i}", classes, embeddings)
            errors.append(abs(float(reply.scores[0]) / score - 1))

    with Client(daemon.url) as client:
        threads = [threading.Thread(target=work, args=(client, i)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.counters["answered"] == 64
    assert len(errors) == 64 and max(errors) <= TOLERANCE


def test_hostile_replies_are_bad_replies():
    good = {"v": 1, "status": "ok", "scores": bytes(8), "decisions": bytes(2), "fill": bytes(8)}
    poison = {"poison_rows": b"\1\0\0\0", "poison": bytes(12)}
    assert wire.score_reply(msgpack.packb({**good, **poison}), 2).poison.shape == (1, 3)
    bad = [b"", b"\xc1", msgpack.packb(7), msgpack.packb({**good, "v": 2}), b"\x91" * 5000]
    for change in (
        {"status": "fine"},
        {"scores": bytes(7)},
        {"scores": "text"},
        {"scores": None},
        {"decisions": b"\0\4"},
        {"verdicts": b"\0\3"},
        {"poison_rows": b"\1\0\0\0"},
        {"poison": bytes(12)},
        {**poison, "poison_labels": bytes(4)},
        {**poison, "poison_rows": b"\2\0\0\0"},
        {**poison, "poison_rows": b""},
        {**poison, "poison_rows": b"\1\0\0\0\0\0\0\0"},
        {**poison, "poison": bytes(11)},
        {**poison, "poison": b""},
    ):
        bad.append(msgpack.packb({**good, **change}))
    for message in bad:
        refused("bad_reply", wire.score_reply, message, 2)
    error = {"v": 1, "status": "error", "code": "draining", "message": "a\n\x1b[31m"}
    assert "\n" not in refused("draining", wire.score_reply, msgpack.packb(error), 2)
