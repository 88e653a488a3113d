#!/bin/sh
# Build test_vec.c (or test_$TEST.c) for every instruction set and dtype that this machine can compile and run, and compare their checksums.
# ARM needs aarch64-linux-gnu-gcc and qemu-aarch64, and is left out without them. CC and CFLAGS are honoured.
set -eu
cd "$(dirname "$0")"
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
common="-std=c11 -O3 -ffp-contract=off -Wall -Wextra -Werror ${CFLAGS:-}"
status=0

check() { # instruction set, compiler, runner, flags
    for dtype in F32 F64; do
        $2 $common $4 -DFNN_DTYPE_IS_$dtype -DVEC_HEADER="\"../../csrc/vec/vec_$1.h\"" "test_${TEST:-vec}.c" -o "$build/test" -lm
        $3 "$build/test" >"$build/out" || { echo "$1 $dtype: FAILED"; cat "$build/out"; status=1; continue; }
        [ -e "$build/$dtype" ] || cp "$build/out" "$build/$dtype"
        if cmp -s "$build/out" "$build/$dtype"; then echo "$1 $dtype: ok"; else
            echo "$1 $dtype: bits differ from the first instruction set"
            diff "$build/$dtype" "$build/out" || status=1
        fi
    done
}

check scalar "${CC:-cc}" "" ""
if [ "$(uname -m)" = x86_64 ]; then
    grep -qw fma /proc/cpuinfo && check avx2 "${CC:-cc}" "" "-mavx2 -mfma"
    grep -qw avx512dq /proc/cpuinfo && check avx512 "${CC:-cc}" "" \
        "-mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mprefer-vector-width=512"
fi
if command -v aarch64-linux-gnu-gcc >/dev/null && command -v qemu-aarch64 >/dev/null; then
    check neon "aarch64-linux-gnu-gcc -static" qemu-aarch64 ""
fi
exit $status
