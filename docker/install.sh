#!/bin/sh
# Installs what the build needs with apt, builds, and installs below a prefix. The images, the test
# of an installation and a bare machine all do it by this script.
# Usage: docker/install.sh [PREFIX]     (/usr/local; DESTDIR is put before it)
# ADDER_PRESET=cuda builds the CUDA engine too, and ADDER_CUDA=off leaves it out also where nvcc is.
set -eu
prefix=${1:-/usr/local}
preset=${ADDER_PRESET:-release}
cd "$(dirname "$0")/.."
. .ci/setup
# shellcheck disable=SC2086 # a list of words
setup_packages $setup_build
cmake --preset "$preset" -DADDER_TESTS=OFF ${ADDER_CUDA:+-DADDER_CUDA="$ADDER_CUDA"} >/dev/null
cmake --build "build/$preset"
DESTDIR="${DESTDIR:-}" cmake --install "build/$preset" --prefix "$prefix" --strip
