"""Who is compared: Adder, a process a measurement, and the other ways, a process each that waits
for its turns. All get the same windows."""
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np

WAYS = pathlib.Path(__file__).with_name("ways.py")
ADDER_SECONDS = 1  # of a measurement, five rounds
OTHER_SECONDS = 0.7  # of one, if a window takes less
SLOW_SECONDS = 5  # a way whose window takes longer is measured once
BATCH_ROWS = 1 << 14  # of a call of the engine
HOPELESS = 0.5  # threads that reach less than so much of the others' rate are tried once
WINDOWS_MOST = 64


def environment(threads):
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    return {**os.environ, **{name: str(threads) for name in names}}


@dataclasses.dataclass
class Adder:
    program: str
    seconds: int = ADDER_SECONDS

    def measure(self, rows, threads, accounts=None):
        """What `adder-bench compare` says, and the scores."""
        with tempfile.NamedTemporaryFile(suffix=".npy") as scores:
            command = [self.program, "compare", "--reference", rows.statistics.folder / "reference"]
            command += ["--embeddings", rows.folder / "embeddings.npy"]
            command += ["--classes", rows.folder / "classes.npy", "--window", rows.window]
            command += ["--threads", threads, "--seconds", self.seconds, "--scores", scores.name]
            if rows.step > 0:
                batch = len(rows.load("classes")) // rows.stretch
                command += ["--step", rows.step]
            else:
                batch = max(1, BATCH_ROWS // rows.window)
            command += ["--batch-windows", batch]
            command += ["--accounts", accounts] if accounts else []
            done = subprocess.run([str(w) for w in command], check=True, stdout=subprocess.PIPE)
            said = json.loads(done.stdout)
            said["scores"] = np.load(scores.name)
        return said


class Other:
    """A way in a process of its own, with so many threads."""

    def __init__(self, way, threads):
        self.threads = threads
        command = [sys.executable, str(WAYS), way, str(threads)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, env=environment(threads), text=True
        )
        self.rows = None
        self.baseline = 0

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{WAYS.name} ended with status {self.process.wait()}")
        return json.loads(answer)

    def load(self, rows):
        folders = {"statistics": str(rows.statistics.folder), "rows": str(rows.folder)}
        self.rows = rows
        cut = {"window": rows.window, "step": rows.step, "stretch": rows.stretch}
        self.baseline = self.ask(op="load", **cut, **folders)["baseline_rss_bytes"]

    def run(self, windows, classes=None):
        answer = self.ask(op="run", windows=windows, classes=classes)
        answer["windows"] = {int(w): one for w, one in answer["windows"].items()}
        for w, one in answer["windows"].items():
            one["parts"] = {int(c): tuple(part) for c, part in one["parts"].items()}
            one["seconds"] *= self.scale(w, one["parts"]) if classes else 1
        return answer

    def scale(self, window, parts):
        """Of a part of the classes to all with two rows or more, the others for nothing."""
        _, classes = self.rows.window_rows(window)
        _, counts = np.unique(classes, return_counts=True)
        return (counts > 1).sum() / len(parts)

    def measure(self, classes=None):
        """Seconds a window, the compared windows first and more of them while there is time."""
        windows = self.rows.compared
        answer = self.run(windows, classes)
        seconds = [one["seconds"] for one in answer["windows"].values()]
        more = min(int(OTHER_SECONDS / statistics.mean(seconds)), WINDOWS_MOST, self.rows.windows)
        if more > len(windows):
            timed = self.run(list(range(more)), classes)
            answer["peak_rss_bytes"] = timed["peak_rss_bytes"]
            seconds = [one["seconds"] for one in timed["windows"].values()]
        answer["seconds"] = statistics.mean(seconds)
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@dataclasses.dataclass
class Result:
    """One side of a race."""

    threads: int  # that won
    tried: dict  # threads: windows a second, medians
    memory_bytes: int  # at most, beyond what was there with the data loaded
    last: dict  # what the winner said last

    @property
    def rate(self):
        return self.tried[self.threads]


def settle(rates, said, baseline):
    tried = {threads: statistics.median(values) for threads, values in rates.items()}
    best = max(tried, key=tried.get)
    last = said[best]
    return Result(best, tried, last["peak_rss_bytes"] - baseline[best], last)


def race(adder, way, rows, threads=(1, 2), rounds=3, classes=None):
    """Adder, the other, Adder, the other, ... with every number of threads; then the better."""
    fast = {t: [] for t in (1, 2)}
    slow = {t: [] for t in threads}
    fast_said, slow_said, fast_base, slow_base = {}, {}, {}, {}

    def run_adder(t):
        fast_said[t] = adder.measure(rows, t)
        fast[t].append(fast_said[t]["windows_per_s"])
        fast_base[t] = fast_said[t]["baseline_rss_bytes"]

    others = {t: Other(way, t) for t in threads}
    try:
        for t, other in others.items():
            other.load(rows)
            slow_base[t] = other.baseline
        tried = set(threads)
        for _ in range(rounds):
            for t in (1, 2):
                run_adder(t)
                if t in tried:
                    slow_said[t] = others[t].measure(classes)
                    slow[t].append(1 / slow_said[t]["seconds"])
            best = max(rate for rates in slow.values() for rate in rates)
            tried = {t for t in tried if slow[t][-1] > HOPELESS * best}
            if best < 1 / SLOW_SECONDS:
                break
        for t in (1, 2):
            run_adder(t)
    finally:
        for other in others.values():
            other.close()
    return settle(fast, fast_said, fast_base), settle(slow, slow_said, slow_base)
