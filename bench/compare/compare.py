#!/usr/bin/env python3
"""Adder beside the paper's way in PyTorch and beside scipy's sqrtm, on the same windows in one run.

    python3 bench/compare/compare.py --out out/      (numpy, scipy, torch; gnuplot for the picture)

Writes compare.txt, compare.json, growth.tsv, growth.svg and growth.png into DIR, and prints the
first. --quick is small and short, to see that it works; its ratios have no goals.
"""
import argparse
import dataclasses
import json
import pathlib
import shutil
import sys
import tempfile
import time

try:
    import numpy as np
    import scipy  # noqa: F401, what is missing is said before anything is measured
    import torch  # noqa: F401
except ImportError as missing:
    sys.exit(f"compare.py: {missing}; numpy, scipy and torch expected")

import growth
import oracle
import report
import sides
import windows

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHECKED_MOST = 256  # windows of Adder's that are held against float64 ...
CHECKED_LARGE, DIM_LARGE = 8, 1024  # ... and where each takes long


@dataclasses.dataclass
class Race:
    """One line of the table: windows of a shape, and which way Adder is raced against."""

    way: str
    dim: int
    classes: int
    window: int = 16
    goal: int = None
    one_class: bool = False  # each window has rows of one class
    step: int = 0  # rows between two windows of an account, as in service; 0: each its own rows
    timed_classes: int = None  # of a window; None: all
    as_before: bool = False  # only with the threads that won the last race against this way

    def name(self):
        what = f"{self.window} rows of one class" if self.one_class else f"W {self.window}"
        what += f", every {self.step} rows" if self.step else ""
        return f"dim {self.dim}, {self.classes} classes, {what}"


@dataclasses.dataclass
class Real:
    """Windows of tests/data, for the error alone."""

    name: str
    window: int
    compared: dict  # way: windows


# In this order, since the largest take the threads that won before.
FULL_RACES = (
    Race("torch", 256, 10, goal=4000),
    Race("torch", 256, 100, 256, goal=8000),
    Race("torch", 256, 100, 256, goal=8000, step=16),
    Race("torch", 512, 17, 32, goal=7000),
    Race("torch", 2048, 10, goal=10000, timed_classes=1, as_before=True),
    Race("scipy", 256, 10, goal=1500, one_class=True),
    Race("scipy", 512, 17, goal=5000, one_class=True),
    Race("scipy", 2048, 10, goal=12000, one_class=True, as_before=True),
    Race("ssyevd", 256, 10, goal=80, one_class=True),
    Race("ssyevd", 512, 17, goal=170, one_class=True),
    Race("ssyevd", 2048, 10, goal=600, one_class=True),
)
QUICK_RACES = (
    Race("torch", 64, 10),
    Race("torch", 64, 10, 32, step=8),
    Race("scipy", 64, 10, one_class=True),
    Race("ssyevd", 64, 10, one_class=True),
)
FULL_REAL = (Real("d256", 16, {"torch": 6, "scipy": 3}), Real("d512", 16, {"torch": 3}))
QUICK_REAL = (Real("d64", 16, {"torch": 8}),)


class Run:
    def __init__(self, options, folder):
        self.quick = options.quick
        self.data = options.data
        self.programs = options
        self.folder = folder
        self.adder = sides.Adder(options.adder_bench, 0 if options.quick else sides.ADDER_SECONDS)
        self.statistics = {}
        self.rows = {}
        self.oracles = {}
        self.won = {}  # way: threads that won last
        self.won_first = {}  # likewise in the smallest race, for the growth's small shapes
        self.errors = []

    def make_statistics(self, dim, classes):
        key = f"{dim}-{classes}"
        if key not in self.statistics:
            self.statistics[key] = windows.synthetic_statistics(
                self.folder / key, dim, classes, self.programs.adder
            )
        return self.statistics[key]

    def make_rows(self, dim, classes, window, one_class=False, step=0):
        made = self.make_statistics(dim, classes)
        if step > 0:
            return windows.sliding_rows(made.folder / f"every-{step}", made, window, step)
        key = f"rows-{window}{'-one' if one_class else ''}"
        at = made.folder / key
        if at not in self.rows:
            self.rows[at] = windows.synthetic_rows(at, made, window, one_class)
        return self.rows[at]

    def expected(self, rows, index):
        """{class: (rows, d2)} in float64."""
        statistics = rows.statistics
        if statistics.folder not in self.oracles:
            self.oracles = {statistics.folder: oracle.Oracle(statistics)}  # one at a time
        return self.oracles[statistics.folder].window(*rows.window_rows(index))

    def note_errors(self, name, way, rows, scores, answer, scaled):
        """The way's on the windows it scored, Adder's on those and on more."""
        checked = CHECKED_LARGE if rows.statistics.dim >= DIM_LARGE else CHECKED_MOST
        some = np.linspace(0, rows.windows - 1, min(checked, rows.windows)).astype(int)
        others, ours = [], []
        for index in sorted({*some.tolist(), *answer["windows"]}):
            expected = self.expected(rows, index)
            whole = oracle.score(expected)
            ours.append(abs(scores[index] - whole) / whole)
            if index in answer["windows"]:
                parts = answer["windows"][index]["parts"]
                want = oracle.score({c: expected[c] for c in parts})
                others.append(abs(oracle.score(parts) - want) / want)
        entry = {"name": name, "way": way, "scaled": scaled, "windows": len(others)}
        entry |= {"other": max(others), "adder": max(ours), "adder_windows": len(ours)}
        self.errors.append({**entry, "ratio": max(others) / max(ours)})

    def race(self, race):
        rows = self.make_rows(race.dim, race.classes, race.window, race.one_class, race.step)
        threads = (self.won[race.way],) if race.as_before and race.way in self.won else (1, 2)
        threads = threads[:1] if self.quick else threads
        rounds = 1 if self.quick else 3
        ours, other = sides.race(self.adder, race.way, rows, threads, rounds, race.timed_classes)
        self.won[race.way] = other.threads
        self.won_first.setdefault(race.way, other.threads)
        self.won_first.setdefault("adder", ours.threads)
        scaled = race.timed_classes is not None
        self.note_errors(race.name(), race.way, rows, ours.last["scores"], other.last, scaled)
        told = {"name": race.name(), "way": race.way, "goal": race.goal, "scaled": scaled}
        told["ratio"] = ours.rate / other.rate
        for name, side in (("adder", ours), ("other", other)):
            told[name] = {key: getattr(side, key) for key in ("threads", "rate", "tried")}
            told[name]["memory_bytes"] = side.memory_bytes
        return told

    def real(self, real):
        source = self.data / real.name
        made = windows.real_statistics(self.folder / real.name, source, self.programs.adder)
        for way, compared in real.compared.items():
            rows = windows.real_rows(made.folder / way, made, source, real.window, compared)
            scores = self.adder.measure(rows, 1)["scores"]
            with sides.Other(way, self.won[way]) as other:
                other.load(rows)
                name = f"real {real.name}, W {real.window}"
                self.note_errors(name, way, rows, scores, other.run(rows.compared), False)

    def growth(self, plan, show):
        first = self.won_first
        won = {"adder": first["adder"], "paper": first["torch"], "sqrtm": first["scipy"]}
        paper = sides.Other("torch", won["paper"])
        sqrtm = sides.Other("scipy", won["sqrtm"])
        with paper, sqrtm:
            compared = growth.Sides(self.adder, won["adder"], paper, sqrtm)
            return growth.measure(plan, self.make_rows, compared, show), won


def show(what):
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


def measure(run, options):
    plan = growth.QUICK if options.quick else growth.FULL
    results = report.machine()
    results["command"] = " ".join(["python3", *sys.argv])
    start = time.monotonic()
    results["races"] = []
    for race in QUICK_RACES if options.quick else FULL_RACES:
        show(f"{race.way}: {race.name()}")
        results["races"].append(run.race(race))
    for real in QUICK_REAL if options.quick else FULL_REAL:
        show(f"errors on {real.name}")
        run.real(real)
    results["errors"] = run.errors
    results["growth"], results["growth_threads"] = run.growth(plan, show)
    results["seconds"] = time.monotonic() - start
    show("")
    return results, plan


def find(given, name, folder):
    program = given or shutil.which(name)
    program = program or shutil.which(str(ROOT / "build" / "release" / folder / name))
    if program is None:
        sys.exit(f"compare.py: no {name} on the path and none in build/release; build it first")
    return program


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the results")
    parser.add_argument("--quick", action="store_true", help="small and short")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "tests" / "data")
    parser.add_argument("--adder", help="the program; on the path or in build/release otherwise")
    parser.add_argument("--adder-bench", help="likewise")
    options = parser.parse_args()
    options.adder = find(options.adder, "adder", "host")
    options.adder_bench = find(options.adder_bench, "adder-bench", "bench")
    return options


def main():
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="adder-compare-") as folder:
        results, plan = measure(Run(options, pathlib.Path(folder)), options)
    text = report.text(results, plan)
    (options.out / "compare.txt").write_text(text)
    (options.out / "compare.json").write_text(json.dumps(results, indent=1, default=float) + "\n")
    report.write_growth(options.out / "growth.tsv", results["growth"])
    print(text, end="")
    if not report.draw(options.out, plan):
        print("no gnuplot: growth.tsv is there, growth.svg and growth.png are not", file=sys.stderr)


if __name__ == "__main__":
    main()
