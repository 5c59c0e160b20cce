#!/usr/bin/env python3
"""The other ways, each in a process of its own: compare.py starts `ways.py WAY THREADS`, writes a
JSON object a line and reads one back.

    {"op": "load", "statistics": DIR, "rows": DIR, "window": W, "step": S, "stretch": R}
    {"op": "run", "windows": [..], "classes": K}    K: only so many classes with 2 rows or more

`run` answers for every window the seconds it took and {class: [rows, d2]}. All that a way needs is
in memory before its clock starts, in the way's own types.
"""
import json
import pathlib
import sys
import time
import warnings

import numpy as np

import resident
import windows


def moments(rows):
    """Mean and population covariance of rows, in their own type."""
    mean = rows.mean(0)
    centred = rows - mean
    return mean, centred.T @ centred / len(rows)


class Paper:
    """To the letter, in float32: a general eigendecomposition of S_c S for every class present, by
    torch.linalg.eig, which computes the eigenvectors too, as the operation that the authors use.
    """

    name = "torch.linalg.eig, float32"

    def __init__(self, threads):
        import torch

        torch.set_num_threads(threads)
        self.torch = torch

    def load(self, folder, rows):
        tensor = lambda name: self.torch.from_numpy(np.load(folder / f"{name}.npy"))
        self.mean, self.covariance = tensor("mean"), tensor("covariance")
        self.rows = self.torch.from_numpy(rows)

    def d2(self, part, c):
        mean, covariance = moments(self.rows[part])
        reference = self.covariance[c]
        eigenvalues, _ = self.torch.linalg.eig(reference @ covariance)
        root = eigenvalues.sqrt().real.sum()
        apart = self.mean[c] - mean
        return float(apart @ apart + reference.trace() + covariance.trace() - 2 * root)


class Sqrtm:
    """As FID tools do: a matrix square root in float64, again with a small offset if it failed."""

    name = "scipy.linalg.sqrtm, float64"
    OFFSET = 1e-6

    def __init__(self, threads):
        import scipy.linalg

        self.sqrtm = scipy.linalg.sqrtm
        # Of one row S is zero, and sqrtm's own estimate of its error 0/0.
        warnings.simplefilter("ignore", RuntimeWarning)

    def load(self, folder, rows):
        self.mean = np.load(folder / "mean.npy").astype(np.float64)
        self.covariance = np.load(folder / "covariance.npy").astype(np.float64)
        self.rows = rows.astype(np.float64)

    def d2(self, part, c):
        mean, covariance = moments(self.rows[part])
        reference = self.covariance[c]
        root, _ = self.sqrtm(reference @ covariance, disp=False)
        if not np.isfinite(root).all():
            offset = self.OFFSET * np.eye(len(covariance))
            root, _ = self.sqrtm((reference + offset) @ (covariance + offset), disp=False)
        apart = self.mean[c] - mean
        trace = np.trace(reference) + np.trace(covariance)
        return float(apart @ apart + trace - 2 * np.trace(root).real)


class Symmetric:
    """One ssyevd a class, eigenvalues only, of F_c^T S F_c: the least that a symmetric version of
    the paper could do. The matrix is made before the clock starts; only ssyevd is timed."""

    name = "LAPACK ssyevd, values only"

    def __init__(self, threads):
        import scipy.linalg

        self.ssyevd = scipy.linalg.lapack.ssyevd

    def load(self, folder, rows):
        self.mean = np.load(folder / "mean.npy")
        self.factor = np.load(folder / "reference" / "factor.npy", mmap_mode="r")
        self.trace = np.load(folder / "reference" / "trace.npy")
        self.rows = rows

    def prepare(self, part, c):
        rows = self.rows[part]
        centred = rows - rows.mean(0)
        projected = centred @ self.factor[c]
        return np.asfortranarray(projected.T @ projected / np.float32(len(rows)))

    def d2(self, part, c, matrix):
        eigenvalues, _, info = self.ssyevd(matrix, compute_v=0, lower=1, overwrite_a=1)
        if info != 0:
            raise ArithmeticError(f"ssyevd: info {info}")
        distance = ((self.rows[part] - self.mean[c]) ** 2).sum() / len(part)
        return float(self.trace[c] + distance - 2 * np.sqrt(np.maximum(eigenvalues, 0)).sum())


WAYS = {"torch": Paper, "scipy": Sqrtm, "ssyevd": Symmetric}


class Worker:
    def __init__(self, way):
        self.way = way
        self.classes = None
        self.cut = ()

    def load(self, request):
        rows = pathlib.Path(request["rows"])
        self.cut = request["window"], request["step"], request["stretch"]
        self.classes = np.load(rows / "classes.npy")
        self.way.load(pathlib.Path(request["statistics"]), np.load(rows / "embeddings.npy"))
        return {"baseline_rss_bytes": resident.restart()}

    def parts(self, window, classes_most):
        """Classes of a window and their rows; the first few that have two rows, if not all."""
        rows = windows.rows_of(window, *self.cut)
        classes = self.classes[rows]
        parts = {int(c): rows[classes == c] for c in np.unique(classes)}
        if classes_most is None:
            return parts
        several = [(c, part) for c, part in parts.items() if len(part) > 1]
        return dict(several[:classes_most])

    def run_window(self, window, classes_most):
        parts = self.parts(window, classes_most)
        ready = {}
        if hasattr(self.way, "prepare"):
            ready = {c: (self.way.prepare(part, c),) for c, part in parts.items()}
        start = time.perf_counter()
        d2 = {c: self.way.d2(part, c, *ready.get(c, ())) for c, part in parts.items()}
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "parts": {c: [len(parts[c]), d2[c]] for c in parts}}

    def run(self, request):
        limit = request.get("classes")
        ran = {w: self.run_window(w, limit) for w in request["windows"]}
        return {"windows": ran, "peak_rss_bytes": resident.peak_bytes()}


def main():
    worker = Worker(WAYS[sys.argv[1]](int(sys.argv[2])))
    for line in sys.stdin:
        request = json.loads(line)
        answer = {"load": worker.load, "run": worker.run}[request["op"]](request)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
