#!/bin/sh
# What the detector catches, calibrated on one half of the honest queries and tested on the other,
# both ways round, with and without half of the shifted ones shown to calibration.
#
#   bench/compare/halves.sh tests/data/d64 out/       (adder on the path; minutes)
#
# DATA holds ref_mean.f32.npy, ref_cov.f32.npy and src/NAME.{emb,pred}*.npy.
set -eu
[ $# -eq 2 ] || { echo "usage: $0 DATA OUT" >&2; exit 2; }
data=$1
mkdir -p "$2"

# NAME CALIBRATED TESTED [calibrate's other arguments]
half() {
    out=$2/$1 calibrated=$3 tested=$4
    shift 4
    adder fit --mean "$data/ref_mean.f32.npy" --covariance "$data/ref_cov.f32.npy" \
        --out "$out/reference" >/dev/null
    adder calibrate --reference "$out/reference" --embeddings "$data"/src/benign_test.emb*.npy \
        --classes "$data"/src/benign_test.pred*.npy --rows "$calibrated" "$@" >"$out/calibrate.txt"
    adder evaluate --reference "$out/reference" --benign "$data/src/benign_test" \
        --benign-rows "$tested" --calibration-rows "$calibrated" --shifted "$data/src/benign_shift" \
        --shifted-rows "$tested" --attack "$data/src/atk_" --out "$out" >"$out/evaluate.txt"
    echo "== $(basename "$data"), calibrated on rows $calibrated, tested on $tested$([ $# -eq 0 ] ||
        echo ', shifted ones among both')"
    sed -n '/^accounts flagged/,$p' "$out/evaluate.txt"
}

for rows in "a 0::2 1::2" "b 1::2 0::2"; do
    # shellcheck disable=SC2086 # three words
    set -- "$1" "$2" $rows
    mkdir -p "$2/$3" "$2/$3-shifted"
    half "$3" "$2" "$4" "$5"
    half "$3-shifted" "$2" "$4" "$5" --also-embeddings "$data"/src/benign_shift.emb*.npy \
        --also-classes "$data"/src/benign_shift.pred*.npy --also-rows "$4"
    set -- "$1" "$2"
done
