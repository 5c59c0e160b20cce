#!/usr/bin/env python3
"""Does the memory's distance say anything that the rows' evidence does not?

    python3 bench/compare/horizons.py tests/data/d64 [rows]

Accounts of `rows` queries (740, what a half-life of 512 weighs) with a share of hostile ones are
scored two ways: the squared Frechet distance of all rows from the class Gaussians, leading 32
directions, as an excess (the memory); and the sum of ln(1 - pi + pi L(p)) over the rows'
alignments (host/evidence.h), pi the very share. Honest rows of even number calibrate both, those of
odd number are tested. The memory is at its best here: honest accounts ask about all classes alike,
and its spread is measured at just this length.
"""
import sys
from statistics import NormalDist

import numpy as np

NORMAL = NormalDist()
RANK = 32
HONEST, HOSTILE = 500, 300


def load(folder, name):
    rows = np.load(f"{folder}/src/{name}.emb.f16.npy").astype(float)
    return rows, np.load(f"{folder}/src/{name}.pred.u8.npy").astype(int)


class Reference:
    def __init__(self, folder):
        self.mean = np.load(f"{folder}/ref_mean.f32.npy").astype(float)
        covariance = np.load(f"{folder}/ref_cov.f32.npy").astype(float)
        self.trace = np.trace(covariance, axis1=1, axis2=2)
        self.factor = []
        for one in covariance:
            values, vectors = np.linalg.eigh(one)
            factor = vectors * np.sqrt(np.maximum(values, 0))
            self.factor.append(factor[:, ::-1][:, :RANK])

    def rows(self, x, classes):
        """Per row: projection, squared distance, class, alignment."""
        apart = x - self.mean[classes]
        y = np.empty((len(x), RANK))
        for c in range(len(self.mean)):
            y[classes == c] = apart[classes == c] @ self.factor[c]
        g = self.mean.mean(0)
        along = self.mean[classes] - g
        lengths = np.linalg.norm(x - g, axis=1) * np.linalg.norm(along, axis=1)
        return y, (apart**2).sum(1), classes, ((x - g) * along).sum(1) / lengths

    def distances(self, y, s, classes):
        for c in range(len(self.mean)):
            mine = classes == c
            n = mine.sum()
            if n > 1:
                centred = y[mine] - y[mine].mean(0)
                values = np.linalg.eigvalsh(centred.T @ centred / n)
                root = np.sqrt(np.maximum(values, 0)).sum()
                yield c, n, self.trace[c] + s[mine].mean() - 2 * root


def bet(p):
    """exp(z - 1/2), z the normal score of p."""
    return np.array([np.exp(-NORMAL.inv_cdf(one) - 0.5) for one in p])


def main():
    folder = sys.argv[1]
    length = int(sys.argv[2]) if len(sys.argv) > 2 else 740
    reference = Reference(folder)
    honest = reference.rows(*load(folder, "benign_test"))
    thief = reference.rows(*load(folder, "atk_cifar100"))
    even = np.flatnonzero(np.arange(len(honest[2])) % 2 == 0)
    odd = even[:-1] + 1
    draw = np.random.default_rng(0)

    def account(rows, share):
        hostile = draw.binomial(length, share)
        a, h = draw.integers(len(thief[2]), size=hostile), draw.choice(rows, length - hostile)
        return [np.concatenate([t[a], o[h]]) for t, o in zip(thief, honest)]

    points = {c: [] for c in range(len(reference.mean))}
    for _ in range(300):
        for c, n, d2 in reference.distances(*account(even, 0)[:3]):
            points[c].append((n, d2))
    line = {}
    for c, seen in points.items():
        n, d2 = np.array(seen).T
        design = np.stack([np.ones_like(n), 1 / n], 1)
        fitted = np.linalg.lstsq(design, d2, rcond=None)[0]
        line[c] = fitted, (d2 - design @ fitted).std()

    def memory(rows):
        return sum(
            np.sqrt(n / length) * (d2 - line[c][0] @ [1, 1 / n]) / line[c][1]
            for c, n, d2 in reference.distances(*rows[:3])
        )

    def evidence(rows, share):
        total = 0.0
        for c in range(len(reference.mean)):
            known = np.sort(honest[3][even[honest[2][even] == c]])
            seen = rows[3][rows[2] == c]
            p = (0.5 + np.searchsorted(known, seen, side="right")) / (len(known) + 1)
            total += np.log(1 - share + share * bet(p)).sum()
        return total

    print(f"{folder}, accounts of {length} queries: AUROC, share caught at 1 % false alarms")
    for share in (0.05, 0.1):
        good = [account(odd, 0) for _ in range(HONEST)]
        bad = [account(odd, share) for _ in range(HOSTILE)]
        for name, score in (("memory", memory), ("evidence", lambda r: evidence(r, share))):
            low, high = np.array([score(r) for r in good]), np.array([score(r) for r in bad])
            auroc = (high[:, None] > low).mean()
            caught = (high > np.quantile(low, 0.99)).mean()
            print(f"{share:4.0%} hostile  {name:8}  {auroc:.3f}  {caught:.3f}")


if __name__ == "__main__":
    main()
