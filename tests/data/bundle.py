#!/usr/bin/env python3
"""Makes the test data from a folder of real embeddings: bundle.py SOURCE TARGET

SOURCE holds d64/ d256/ d512/ as README.md describes. dim 64 is taken whole but for logits and ready
accounts. Of dim 256 and 512 only the rows that golden windows use are kept, in their old order, and
golden.json is re-indexed to them; dim 256 keeps ONE_CLASS_ROWS rows of one predicted class besides,
so that one-class windows of 64, 128 and 256 rows exist. Needs numpy alone.
"""
import json
import pathlib
import shutil
import sys

import numpy as np

ONE_CLASS_ROWS = 256
BYTES_MAX = 22_000_000
LABELLED = "benign_test"


def copy_reference(source, target):
    target.mkdir(parents=True, exist_ok=True)
    for name in ("ref_mean.f32.npy", "ref_cov.f32.npy", "ref_count.i32.npy"):
        shutil.copyfile(source / name, target / name)


def save_golden(golden, target):
    (target / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


def copy_whole(source, target):
    copy_reference(source, target)
    golden = json.loads((source / "golden.json").read_text())
    save_golden(golden, target)
    (target / "src").mkdir(exist_ok=True)
    for path in sorted((source / "src").iterdir()):
        if path.name.endswith((".emb.f16.npy", ".pred.u8.npy")):
            shutil.copyfile(path, target / "src" / path.name)
    label = f"{LABELLED}.label.u8.npy"
    shutil.copyfile(source / "src" / label, target / "src" / label)


def rows_used(golden):
    used = {}
    for window in golden["windows"]:
        for segment in window["segments"]:
            used.setdefault(segment["source"], set()).update(segment["rows"])
    return used


def add_one_class(used, predicted):
    """Completes the class that has most rows already, so that the fewest are added."""
    have = np.bincount(predicted[sorted(used)])
    chosen = int(have.argmax())
    for row in np.flatnonzero(predicted == chosen):
        if (predicted[sorted(used)] == chosen).sum() >= ONE_CLASS_ROWS:
            break
        used.add(int(row))


def copy_used(source, target, one_class):
    copy_reference(source, target)
    (target / "src").mkdir(exist_ok=True)
    golden = json.loads((source / "golden.json").read_text())
    used = rows_used(golden)
    place = {}
    for name in sorted(used):
        embeddings = np.load(source / "src" / f"{name}.emb.f16.npy")
        predicted = np.load(source / "src" / f"{name}.pred.u8.npy")
        if one_class and name == LABELLED:
            add_one_class(used[name], predicted)
        rows = np.array(sorted(used[name]))
        place[name] = {int(old): new for new, old in enumerate(rows)}
        np.save(target / "src" / f"{name}.emb.f16.npy", embeddings[rows])
        np.save(target / "src" / f"{name}.pred.u8.npy", predicted[rows])
    for window in golden["windows"]:
        for segment in window["segments"]:
            segment["rows"] = [place[segment["source"]][row] for row in segment["rows"]]
    save_golden(golden, target)


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: bundle.py SOURCE TARGET")
    source, target = map(pathlib.Path, sys.argv[1:])
    copy_whole(source / "d64", target / "d64")
    copy_used(source / "d256", target / "d256", one_class=True)
    copy_used(source / "d512", target / "d512", one_class=False)
    total = sum(path.stat().st_size for dim in ("d64", "d256", "d512")
                for path in (target / dim).rglob("*") if path.is_file())
    print(f"{total} bytes")
    if total > BYTES_MAX:
        sys.exit(f"more than the {BYTES_MAX} bytes the repository has room for")


main()
