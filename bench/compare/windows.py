"""Windows to compare on, as files that every side reads: synthetic ones of any shape, and real.

A Statistics is a folder with mean.npy [classes, dim] and covariance.npy [classes, dim, dim], both
float32, and reference/, the same as Adder reads it. A Rows is a folder with embeddings.npy and
classes.npy, cut into consecutive windows; or into stretches, an account each, whose last `window`
rows are a window after every `step` of them, the stretch going round.
"""
import dataclasses
import json
import pathlib
import subprocess

import numpy as np

SEED = 20250312
ROW_BYTES = 1 << 25  # of a file of synthetic rows, about
WINDOWS_LEAST, WINDOWS_MOST = 32, 2048
SLIDING_ACCOUNTS = 256

# As bench/synthetic.c: within a factor of two of the real features' eigenvalues and traces.
EIGENVALUE_FIRST, PLATEAU, MEAN_SCALE = 2.0, 3.0, 0.5

# `adder fit` takes seconds a class from here on; the reference is then written from the factors
# that the covariances were made of.
DIM_WRITTEN = 1024


@dataclasses.dataclass
class Statistics:
    folder: pathlib.Path
    dim: int
    classes: int
    factor: np.ndarray = None  # [dim, dim] of a class whose signs are all +
    signs: np.ndarray = None  # [classes, dim]

    def load(self, name):
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")


@dataclasses.dataclass
class Rows:
    folder: pathlib.Path
    statistics: Statistics
    window: int
    windows: int
    compared: list  # windows that the slow sides score, and whose errors are told
    step: int = 0  # 0: consecutive windows
    stretch: int = 0

    def load(self, name):
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")

    def window_rows(self, index):
        part = rows_of(index, self.window, self.step, self.stretch)
        return self.load("embeddings")[part], self.load("classes")[part]


def rows_of(index, window, step, stretch):
    """Row numbers of a window, from old to new."""
    if step == 0:
        return np.arange(index * window, (index + 1) * window)
    account, at = divmod(index, stretch // step)
    end = (at + 1) * step
    return account * stretch + np.arange(end - window, end) % stretch


def fit(folder, adder):
    command = [adder, "fit", "--mean", folder / "mean.npy", "--covariance"]
    command += [folder / "covariance.npy", "--out", folder / "reference"]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)


def write_reference(made, mean, covariance):
    """What `adder fit` would write, but for the factor's last bits."""
    folder = made.folder / "reference"
    folder.mkdir()
    np.save(folder / "mean.npy", mean)
    factor = made.signs[:, :, None] * made.factor.astype(np.float32)
    np.save(folder / "factor.npy", factor)
    np.save(folder / "trace.npy", np.trace(covariance, axis1=1, axis2=2, dtype=np.float64))
    shape = {"dim": made.dim, "classes": made.classes, "rank": made.dim}
    (folder / "reference.json").write_text(json.dumps({"format": 1, "model": "synthetic", **shape}))


def synthetic_statistics(folder, dim, classes, adder):
    """Random orthonormal directions once; flipping rows of them gives each class its own."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(SEED)
    basis, _ = np.linalg.qr(draw.standard_normal((dim, dim)))
    eigenvalues = EIGENVALUE_FIRST / (1 + (np.arange(dim) / PLATEAU) ** 2)
    made = Statistics(folder, dim, classes, basis * np.sqrt(eigenvalues))
    made.signs = draw.choice(np.float32([-1, 1]), (classes, dim))
    mean = (MEAN_SCALE * draw.standard_normal((classes, dim))).astype(np.float32)
    base = made.factor @ made.factor.T
    base = ((base + base.T) / 2).astype(np.float32)
    covariance = made.signs[:, :, None] * base * made.signs[:, None, :]
    np.save(folder / "mean.npy", mean)
    np.save(folder / "covariance.npy", covariance)
    if dim < DIM_WRITTEN:
        fit(folder, adder)
    else:
        write_reference(made, mean, covariance)
    return made


def synthetic_rows(folder, statistics, window, one_class=False, compared=1,
                   least=WINDOWS_LEAST):
    """Rows of classes drawn evenly, or windows of one class each."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(SEED + 1)
    windows = ROW_BYTES // (window * statistics.dim * 4)
    windows = int(np.clip(windows, least, WINDOWS_MOST))
    classes = draw.integers(0, statistics.classes, windows * window, dtype=np.uint32)
    if one_class:
        classes = np.repeat(classes[:windows], window)
    rows = draw.standard_normal((len(classes), statistics.dim), dtype=np.float32)
    rows = rows @ statistics.factor.T.astype(np.float32)
    rows = rows * statistics.signs[classes] + statistics.load("mean")[classes]
    np.save(folder / "embeddings.npy", rows)
    np.save(folder / "classes.npy", classes)
    return Rows(folder, statistics, window, windows, list(range(compared)))


def real_statistics(folder, data, adder):
    folder.mkdir(parents=True)
    mean, covariance = (np.load(data / f"ref_{name}.f32.npy") for name in ("mean", "cov"))
    np.save(folder / "mean.npy", mean)
    np.save(folder / "covariance.npy", covariance)
    fit(folder, adder)
    return Statistics(folder, mean.shape[1], mean.shape[0])


def sliding_rows(folder, statistics, window, step):
    """As many accounts as a batch of the engine has windows, with two windows of rows each."""
    folder.mkdir(parents=True)
    stretch = 2 * window
    rows = synthetic_rows(folder / "rows", statistics, SLIDING_ACCOUNTS * stretch, least=1)
    windows = SLIDING_ACCOUNTS * stretch // step
    return Rows(rows.folder, statistics, window, windows, [0], step, stretch)


def real_rows(folder, statistics, data, window, compared):
    """Whole windows of each source, honest and hostile; compared ones evenly from all."""
    folder.mkdir(parents=True)
    rows, classes = [], []
    for path in sorted((data / "src").glob("*.emb.f16.npy")):
        one = np.load(path).astype(np.float32)
        predicted = np.load(str(path).replace(".emb.f16.npy", ".pred.u8.npy"))
        whole = len(one) // window * window
        rows.append(one[:whole])
        classes.append(predicted[:whole].astype(np.uint32))
    rows, classes = np.concatenate(rows), np.concatenate(classes)
    np.save(folder / "embeddings.npy", rows)
    np.save(folder / "classes.npy", classes)
    windows = len(rows) // window
    chosen = np.unique(np.linspace(0, windows - 1, compared).astype(int))
    return Rows(folder, statistics, window, windows, [int(i) for i in chosen])
