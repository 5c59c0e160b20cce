"""The real daemon, for tests. ADDERD and ADDER_CLI name the programs, else build/release is used.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import numpy as np
import pytest

from adder_client import AdderError, Client

ROOT = pathlib.Path(__file__).resolve().parents[3]
DATA = ROOT / "tests" / "data" / "d64"
ADDERD = os.environ.get("ADDERD", str(ROOT / "build/release/host/adderd"))
ADDER_CLI = os.environ.get("ADDER_CLI", str(ROOT / "build/release/host/adder"))
START_S = 30  # a sanitizer's daemon on a busy machine


class Daemon:
    """adderd on a socket of its own; accounts named thief are denied, thus flagged."""

    def __init__(self, reference: pathlib.Path) -> None:
        self.reference = reference
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="adder-"))
        self.url = f"ipc://{self.folder}/socket"
        self.deny = self.folder / "deny"
        self.deny.write_text("thief\n")
        self.tls = None
        self.process = None

    def start(self, *flags: str) -> "Daemon":
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen(
                [ADDERD, "--reference", self.reference, "--listen", self.url]
                + ["--threads", "1", "--deny", self.deny, *flags],
                stderr=log,
                stdout=log,
            )
        until = time.monotonic() + START_S
        with Client(self.url, timeout_s=0.5, tls=self.tls) as probe:
            while True:
                try:
                    probe.ping()
                    return self
                except AdderError:
                    assert self.process.poll() is None and time.monotonic() < until, self.log()

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)
        if number == signal.SIGSTOP:  # waits until it has stopped
            os.waitpid(self.process.pid, os.WUNTRACED)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            status = self.process.wait(START_S)
            self.process = None
            assert status == 0, self.log()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference") / "d64"
    arguments = ["fit", "--mean", DATA / "ref_mean.f32.npy", "--out", folder]
    arguments += ["--covariance", DATA / "ref_cov.f32.npy"]
    subprocess.run([ADDER_CLI, *arguments], check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture
def stopped(reference):
    """A daemon that is yet to be started, with the flags a test wants."""
    daemon = Daemon(reference)
    yield daemon
    daemon.close()


@pytest.fixture
def daemon(stopped):
    return stopped.start()


@pytest.fixture(scope="session")
def rows():
    """64 honest rows: embeddings [64, 64] f2, classes [64]."""
    embeddings = np.load(DATA / "src/benign_test.emb.f16.npy")[:64]
    return embeddings, np.load(DATA / "src/benign_test.pred.u8.npy")[:64]


@pytest.fixture(scope="session")
def golden():
    """C's golden windows: list of (embeddings f2, classes, score in float64)."""
    sources = {}
    windows = []
    for window in json.loads((DATA / "golden.json").read_text())["windows"]:
        parts = []
        for segment in window["segments"]:
            name = segment["source"]
            if name not in sources:
                sources[name] = np.load(DATA / f"src/{name}.emb.f16.npy")
            parts.append(sources[name][segment["rows"]])
        windows.append((np.concatenate(parts), np.array(window["pred"]), window["score"]))
    return windows
