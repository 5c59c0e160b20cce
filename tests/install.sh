#!/bin/sh
# Installs by docker/install.sh, as the images do, into a folder of the build's; then serves by what
# was installed, and compiles the README's worker against it with pkg-config alone.
set -eu
cd "$(dirname "$0")/.."
root=$PWD/build/installed
rm -rf "$root"
mkdir -p build
ADDER_CUDA=off DESTDIR=$root docker/install.sh /usr >build/install.log 2>&1 || { cat build/install.log; exit 1; }
bin=$root/usr/bin
run=$(mktemp -d)
url=ipc://$run/adder.sock
daemon=""
trap '[ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; rm -rf "$run"' EXIT

for file in bin/adderd bin/adder bin/adder-bench include/adder.h lib/libadder.a \
    lib/pkgconfig/adder.pc lib/systemd/system/adderd.service lib/sysusers.d/adder.conf; do
    [ -f "$root/usr/$file" ] || { echo "install: $file is missing"; exit 1; }
done
grep -q '^ExecStart=/usr/bin/adderd ' "$root/usr/lib/systemd/system/adderd.service"

data=tests/data/d64
"$bin/adder" fit --mean $data/ref_mean.f32.npy --covariance $data/ref_cov.f32.npy --out "$run/reference"
"$bin/adderd" --reference "$run/reference" --listen "$url" 2>"$run/log" &
daemon=$!
"$bin/adder" ping --connect "$url" --timeout 20000 || { cat "$run/log"; exit 1; }

sed -n '/^```c$/,/^```$/p' README.md | sed "/^\`\`\`/d; s|ipc:///run/adder.sock|$url|" >"$run/worker.c"
export PKG_CONFIG_PATH="$root/usr/lib/pkgconfig"
# shellcheck disable=SC2046 # flags are words
cc -Wall -Wextra -Werror "$run/worker.c" $(pkg-config --cflags --libs --static adder) -o "$run/worker"
"$run/worker" | grep '^score '
kill -TERM "$daemon"
wait "$daemon"
daemon=""
echo "installed, served and called: good"
