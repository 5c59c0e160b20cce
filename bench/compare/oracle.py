"""Scores in float64, from the formula by singular values: nothing is squared, so no root of a
rounding error is taken."""
import numpy as np


class Oracle:
    def __init__(self, statistics):
        self.mean = statistics.load("mean")
        self.covariance = statistics.load("covariance")
        self.factors = {}

    def factor(self, c):
        """Any F with S_c = F F^T: that of Cholesky, or of eigenvectors where S_c is singular."""
        if c not in self.factors:
            covariance = np.asarray(self.covariance[c], np.float64)
            try:
                self.factors[c] = np.linalg.cholesky(covariance)
            except np.linalg.LinAlgError:
                values, vectors = np.linalg.eigh(covariance)
                self.factors[c] = vectors * np.sqrt(np.maximum(values, 0))
        return self.factors[c]

    def d2(self, rows, c):
        rows = np.asarray(rows, np.float64)
        mean = rows.mean(0)
        centred = rows - mean
        apart = mean - self.mean[c]
        traces = np.trace(self.covariance[c], dtype=np.float64) + (centred**2).sum() / len(rows)
        roots = 0.0
        if len(rows) > 1:
            roots = np.linalg.svd(centred @ self.factor(c), compute_uv=False).sum()
        return apart @ apart + traces - 2 * roots / np.sqrt(len(rows))

    def window(self, rows, classes):
        """{class: (rows, d2)}"""
        counts = zip(*np.unique(classes, return_counts=True))
        return {int(c): (int(n), self.d2(rows[classes == c], c)) for c, n in counts}


def score(parts):
    """Of {class: (rows, d2)}, all of a window's or some."""
    return sum(n * d2 for n, d2 in parts.values()) / sum(n for n, _ in parts.values())
