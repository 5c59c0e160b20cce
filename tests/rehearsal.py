#!/usr/bin/env python3
"""A deployment in one room: adderd with TLS and a YAML file, two models, snapshots and an admin
port; Prometheus scraping it; Python workers of several processes sending real queries. SIGHUP
brings a new threshold in the middle, kill -9 and a new start follow. What it claims:

- every request gets a reply: the daemon's, or one that is marked as assumed;
- a reload loses none, and its threshold holds at once;
- during the outage who was known as flagged is still poisoned, by the client's policy;
- after the start verdicts are what they were, and the queries counted are at least those answered
  until a snapshot's interval before the kill, and at most those sent;
- Prometheus has seen the reload and both processes.

    tests/rehearsal.py ADDERD ADDER PROMETHEUS OPENSSL DATA    (PYTHONPATH: ipc/python)
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from adder_client import Client, Tls

POISON = 1
ROWS = 16
SNAPSHOT_EVERY_S = 1
PATIENCE_S = 90.0
TIMEOUT_S = 2.0
TOKEN = "a-token-for-the-rehearsal"


def free_port() -> int:
    with socket.socket() as at:
        at.bind(("127.0.0.1", 0))
        return at.getsockname()[1]


def await_that(what: str, condition, patience_s: float = PATIENCE_S):
    """The condition's value once it is true."""
    until = time.monotonic() + patience_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise SystemExit(f"rehearsal: {what} did not happen within {patience_s} s")
        time.sleep(0.02)


def claim(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(f"rehearsal: {what}")


@dataclass
class Room:
    """Files, programs and addresses."""

    adderd: str
    adder: str
    prometheus: str
    openssl: str
    data: Path
    folder: Path
    port: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)
    prometheus_port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"tls+tcp://127.0.0.1:{self.port}"

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def tls(self, who: str) -> Tls:
        return Tls(self.path("ca.pem"), self.path(who + ".pem"), self.path(who + ".key"), "adderd")

    def run(self, *words: str) -> None:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        claim(done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")


# ---- what is there before anything runs


def make_certificates(room: Room) -> None:
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    ca = [room.path("ca.pem"), room.path("ca.key")]
    room.run(room.openssl, "req", "-x509", *key, "-keyout", ca[1], "-out", ca[0], "-days", "1",
             "-subj", "/CN=rehearsal")
    for name in ("adderd", "worker"):
        pem, secret, request = (room.path(name + end) for end in (".pem", ".key", ".csr"))
        room.run(room.openssl, "req", "-new", *key, "-keyout", secret, "-out", request, "-subj",
                 "/CN=" + name)
        room.run(room.openssl, "x509", "-req", "-in", request, "-CA", ca[0], "-CAkey", ca[1],
                 "-CAcreateserial", "-out", pem, "-days", "1")
        os.chmod(secret, 0o600)


def make_references(room: Room) -> None:
    for model in ("animals", "faces"):
        room.run(room.adder, "fit", "--mean", str(room.data / "ref_mean.f32.npy"), "--covariance",
                 str(room.data / "ref_cov.f32.npy"), "--out", room.path(model), "--model", model)
    sources = room.data / "src"
    room.run(room.adder, "calibrate", "--reference", room.path("animals"), "--embeddings",
             str(sources / "benign_test.emb.f16.npy"), "--classes",
             str(sources / "benign_test.pred.u8.npy"), "--rows", "0::2", "--queries", "2000")


def write_config(room: Room, threshold: str) -> None:
    Path(room.path("token")).write_text(TOKEN + "\n")
    os.chmod(room.path("token"), 0o600)
    Path(room.path("secret")).write_bytes(bytes(range(32)))
    os.chmod(room.path("secret"), 0o600)
    Path(room.path("adder.yaml")).write_text(f"""\
listen: {room.url}
tls-ca: {room.path('ca.pem')}
tls-cert: {room.path('adderd.pem')}
tls-key: {room.path('adderd.key')}
admin: {room.admin}
admin-token-file: {room.path('token')}
secret-file: {room.path('secret')}
snapshot-every: {SNAPSHOT_EVERY_S}
engine: cpu
threads: 1
max-accounts: 64
models:
  - reference: {room.path('animals')}
    snapshot: {room.path('animals.state')}
  - reference: {room.path('faces')}
    snapshot: {room.path('faces.state')}
    threshold: {threshold}
    min-fill: 1
""")


# ---- what runs


def http(port: int, path: str) -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}",
                                     headers={"Authorization": "Bearer " + TOKEN})
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def start_daemon(room: Room, name: str) -> subprocess.Popen:
    with open(room.path(name), "wb") as log:
        daemon = subprocess.Popen([room.adderd, "--config", room.path("adder.yaml")], stderr=log)

    def ready() -> bool:
        claim(daemon.poll() is None, "adderd ended: " + Path(room.path(name)).read_text())
        return http(room.admin, "/readyz")[0] == 200

    await_that("adderd being ready", ready)
    return daemon


def start_prometheus(room: Room) -> subprocess.Popen:
    Path(room.path("prometheus.yml")).write_text(f"""\
global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}
scrape_configs:
  - job_name: adder
    authorization: {{credentials: {TOKEN}}}
    static_configs: [{{targets: ["127.0.0.1:{room.admin}"]}}]
""")
    with open(room.path("prometheus.log"), "wb") as log:
        return subprocess.Popen(
            [room.prometheus, "--config.file=" + room.path("prometheus.yml"),
             "--storage.tsdb.path=" + room.path("tsdb"),
             f"--web.listen-address=127.0.0.1:{room.prometheus_port}"], stdout=log, stderr=log)


def query(room: Room, expression: str) -> float | None:
    """One number, the largest there is."""
    status, text = http(room.prometheus_port,
                        "/api/v1/query?query=" + urllib.parse.quote(expression))
    if status != 200:
        return None
    values = [float(one["value"][1]) for one in json.loads(text)["data"]["result"]]
    return max(values) if values else None


# ---- workers


@dataclass(frozen=True)
class Job:
    model: str
    account: str
    source: str


JOBS = (
    Job("animals", "alice", "benign_test"),
    Job("animals", "bob", "benign_test"),
    Job("animals", "mallory", "atk_cifar100"),
    Job("faces", "carol", "benign_test"),
)


def work(job: Job, room: Room, leave, said) -> None:
    """Sends until told to leave; says of each request when it was answered and how."""
    sources = room.data / "src"
    embeddings = np.load(sources / f"{job.source}.emb.f16.npy")
    classes = np.load(sources / f"{job.source}.pred.u8.npy")
    rows = np.random.default_rng(abs(hash(job.account)) % 2**32).permutation(len(classes))
    at = 0
    with Client(room.url, model=job.model, timeout_s=TIMEOUT_S, tls=room.tls("worker")) as client:
        while not leave.is_set():
            some = np.take(rows, range(at, at + ROWS), mode="wrap")
            at += ROWS
            said.put(("sent", job.account, time.time(), None))
            reply = client.score(job.account, classes[some], embeddings[some], want_poison=True)
            how = "assumed" if reply.assumed else "answered"
            said.put((how, job.account, time.time(), int(reply.decisions[-1])))


class Ledger:
    """What the workers have said so far."""

    def __init__(self, said) -> None:
        self._said = said
        self.entries: list[tuple[str, str, float, int | None]] = []

    def read(self) -> "Ledger":
        while not self._said.empty():
            self.entries.append(self._said.get())
        return self

    def of(self, account: str, how: str, since: float = 0.0, until: float = 1e18):
        return [one for one in self.entries
                if one[0] == how and one[1] == account and since < one[2] <= until]

    def everybody(self, how: str, since: float) -> bool:
        self.read()
        return all(self.of(job.account, how, since) for job in JOBS)


def last_decision(ledger: Ledger, account: str, how: str = "answered", since: float = 0.0):
    decided = ledger.read().of(account, how, since)
    return decided[-1][3] if decided else None


# ---- the rehearsal


def reload_in_the_middle(room: Room, daemon: subprocess.Popen, ledger: Ledger) -> None:
    claim(all(one[3] != POISON for one in ledger.read().of("carol", "answered")),
          "faces poisons before its threshold says so")
    write_config(room, "0")
    before = time.time()
    daemon.send_signal(signal.SIGHUP)
    await_that("the new threshold", lambda: last_decision(ledger, "carol", since=before) == POISON)
    await_that("every worker's reply after the reload",
               lambda: ledger.everybody("answered", time.time() - 0.5))
    claim(not any(one[0] == "assumed" for one in ledger.entries), "the reload lost a request")
    await_that("Prometheus' sight of the reload",
               lambda: query(room, "adder_reloads_total") == 1.0)


def kill_and_start_again(room: Room, daemon: subprocess.Popen, ledger: Ledger):
    state = Path(room.path("animals.state"))
    flagged_at = time.time()
    await_that("a snapshot with the verdict",
               lambda: state.exists() and state.stat().st_mtime > flagged_at + SNAPSHOT_EVERY_S)
    await_that("Prometheus' sight of the rows", lambda: (query(room, "adder_rows_total") or 0) > 0)
    killed_at = time.time()
    daemon.kill()
    daemon.wait()
    await_that("the policy's answer for the thief",
               lambda: last_decision(ledger, "mallory", "assumed", killed_at) is not None)
    claim(last_decision(ledger, "mallory", "assumed", killed_at) == POISON,
          "the thief was allowed while nobody answered")
    await_that("the policy's answer for the others",
               lambda: ledger.everybody("assumed", killed_at))
    claim(last_decision(ledger, "alice", "assumed", killed_at) != POISON,
          "an honest account was poisoned while nobody answered")
    again = start_daemon(room, "second.log")
    started_at = time.time()
    await_that("every worker's reply from the second daemon",
               lambda: ledger.everybody("answered", started_at))
    first = ledger.read().of("mallory", "answered", killed_at)[0]
    claim(first[3] == POISON, "the thief's verdict did not survive")
    return again, killed_at


def check_counts(room: Room, ledger: Ledger, killed_at: float) -> dict[str, tuple[int, int, int]]:
    """No more was lost than came in a snapshot's interval, and the time to write one."""
    counts = {}
    for job in JOBS:
        with Client(room.url, model=job.model, tls=room.tls("worker")) as client:
            explained = client.explain(job.account)
        sent = ROWS * len(ledger.of(job.account, "sent"))
        kept = ROWS * (len(ledger.of(job.account, "answered", until=killed_at - 2 * SNAPSHOT_EVERY_S
                                     - 1.0)) + len(ledger.of(job.account, "answered", killed_at)))
        if job.model == "animals":  # by a threshold alone no queries are counted over
            counts[job.account] = (kept, explained["queries"], sent)
            claim(kept <= explained["queries"] <= sent,
                  f"{job.account}: {kept} kept, {explained['queries']} counted, {sent} sent")
    return counts


def rehearse(room: Room) -> None:
    make_certificates(room)
    make_references(room)
    write_config(room, "1e9")
    daemon = start_daemon(room, "first.log")
    prometheus = start_prometheus(room)
    context = multiprocessing.get_context("spawn")  # NNG does not survive a fork
    leave, said = context.Event(), context.Queue()
    workers = [context.Process(target=work, args=(job, room, leave, said)) for job in JOBS]
    try:
        for worker in workers:
            worker.start()
        ledger = Ledger(said)
        await_that("every worker's first reply", lambda: ledger.everybody("answered", 0.0))
        await_that("the thief being flagged", lambda: last_decision(ledger, "mallory") == POISON)
        reload_in_the_middle(room, daemon, ledger)
        daemon, killed_at = kill_and_start_again(room, daemon, ledger)
        await_that("Prometheus' sight of the second daemon",
                   lambda: query(room, "changes(process_start_time_seconds[5m])") == 1.0)
        leave.set()
        for worker in workers:
            while worker.is_alive():
                ledger.read()
                worker.join(0.02)
            claim(worker.exitcode == 0, f"a worker ended with {worker.exitcode}")
        ledger.read()
        sent = len([one for one in ledger.entries if one[0] == "sent"])
        answered = len([one for one in ledger.entries if one[0] == "answered"])
        assumed = len([one for one in ledger.entries if one[0] == "assumed"])
        claim(sent == answered + assumed, f"{sent} sent, {answered} answered, {assumed} assumed")
        counts = check_counts(room, ledger, killed_at)
        daemon.send_signal(signal.SIGTERM)
        claim(daemon.wait(PATIENCE_S) == 0, "the second daemon did not end well")
        print(f"rehearsal: {sent} requests of {ROWS} rows sent, {answered} answered, {assumed} "
              f"assumed while nobody answered; kept, counted, sent rows: {counts}")
    finally:
        leave.set()
        for worker in workers:
            if worker.is_alive():
                worker.kill()
        for process in (daemon, prometheus):
            process.kill()
            process.wait()


def main() -> None:
    adderd, adder, prometheus, openssl, data = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="adder-rehearsal-") as folder:
        rehearse(Room(adderd, adder, prometheus, openssl, Path(data), Path(folder)))


if __name__ == "__main__":
    main()
