#!/usr/bin/env python3
"""How soon could a detector flag a thief that has been trained on this very thief?

    python3 bench/compare/bound.py tests/data/d64 [attack]        (needs python3-sklearn)

A network learns to tell the attack's embeddings from honest ones, five-fold, so that every row is
judged by one that has not seen it. Its output becomes a likelihood ratio (isotonic regression), and
that of a mix with a known hostile share is added up by CUSUM, which is the quickest there is (Page
1954; Moustakides 1986) at a limit that 1 in 1,000 honest accounts of all classes passes in 10,000
queries (exponential tail of 2,000 simulated ones). Nothing of this can be had without the attack;
what falls short here cannot be reached by a detector that needs no training.
"""
import sys

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ACCOUNTS, QUERIES, RATE, TAIL = 2000, 10000, 0.001, 0.05
GOALS = ((1.0, 32), (0.5, 64), (0.25, 160), (0.1, 1024), (0.05, 4096))


def load(folder, name):
    rows = np.load(f"{folder}/src/{name}.emb.f16.npy").astype(np.float32)
    return rows, np.load(f"{folder}/src/{name}.pred.u8.npy").astype(int)


def ratios(folder, attack):
    """Likelihood ratios of honest and of hostile rows, each by a network that has not seen it."""
    (honest, of_honest), (hostile, of_hostile) = load(folder, "benign_test"), load(folder, attack)
    draw = np.random.default_rng(0)
    some = draw.permutation(len(hostile))[: len(honest)]
    mean = np.load(f"{folder}/ref_mean.f32.npy")
    classes = np.r_[of_honest, of_hostile[some]]
    rows = np.vstack([honest, hostile[some]])
    apart = rows - mean[classes]
    along = mean[classes] - mean.mean(0)
    centred = rows - mean.mean(0)
    cosine = (centred * along).sum(1) / np.linalg.norm(centred, axis=1)
    distance = np.log((apart**2).sum(1))
    features = np.column_stack([rows, apart, np.eye(len(mean))[classes], cosine, distance])
    label = np.r_[np.zeros(len(honest)), np.ones(len(some))]
    network = make_pipeline(
        StandardScaler(),
        MLPClassifier((128,), alpha=0.1, early_stopping=True, max_iter=60, random_state=0),
    )
    folds = StratifiedKFold(5, shuffle=True, random_state=1)
    said = cross_val_predict(network, features, label, cv=folds, method="predict_proba")[:, 1]
    chance = IsotonicRegression(y_min=1e-3, y_max=1 - 1e-3).fit_transform(said, label)
    ratio = chance / (1 - chance) * (label == 0).sum() / (label == 1).sum()
    order = np.argsort(said)
    rank = np.empty(len(said))
    rank[order] = np.arange(1, len(said) + 1)
    hostile_rows = label == 1
    n = hostile_rows.sum()
    auroc = (rank[hostile_rows].sum() - n * (n + 1) / 2) / (n * (~hostile_rows).sum())
    return ratio[~hostile_rows], ratio[hostile_rows], auroc


def highest(logs, accounts, queries):
    """Of each account the highest CUSUM; logs(count) draws that many rows' logarithms."""
    total = np.zeros(accounts)
    top = np.zeros(accounts)
    for _ in range(queries):
        total = np.maximum(0, total + logs(accounts))
        np.maximum(top, total, out=top)
    return top


def main():
    folder = sys.argv[1]
    attack = sys.argv[2] if len(sys.argv) > 2 else "atk_cifar100"
    honest, hostile, auroc = ratios(folder, attack)
    draw = np.random.default_rng(2)
    print(f"{folder} {attack}: AUROC of a row {auroc:.3f}")
    for share, within in GOALS:
        of_honest, of_hostile = (np.log(1 - share + share * r) for r in (honest, hostile))
        top = highest(lambda n: draw.choice(of_honest, n), ACCOUNTS, QUERIES)
        start = np.quantile(top, 1 - TAIL)
        limit = start + (top[top > start] - start).mean() * np.log(TAIL / RATE)

        def mix(n):
            rows = draw.choice(of_honest, n)
            theirs = draw.random(n) < share
            rows[theirs] = draw.choice(of_hostile, theirs.sum())
            return rows

        caught = (highest(mix, ACCOUNTS, within) > limit).mean()
        print(f"{share:4.0%} hostile: flagged within {within:5}: {caught:.3f}  (limit {limit:.1f})")


if __name__ == "__main__":
    main()
