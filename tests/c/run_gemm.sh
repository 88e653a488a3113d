#!/bin/sh
# Build test_gemm.c for every instruction set and dtype that this machine can compile and run, and compare their checksums.
# ARM needs aarch64-linux-gnu-gcc and qemu-aarch64, and is left out without them. CC, CFLAGS and CASES are honoured.
set -eu
cd "$(dirname "$0")"
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
common="-std=c11 -O3 -ffp-contract=off -Wall -Wextra -Werror ${CFLAGS:-}"
status=0

check() { # instruction set, compiler, runner, flags
    for dtype in 32 64; do
        $2 $common $4 -DFNN_ISA_NAME="$1" -DFNN_DTYPE_NAME=f$dtype -DFNN_DTYPE=FNN_F$dtype -DFNN_DTYPE_IS_F$dtype \
            test_gemm.c -o "$build/test" -lm
        $3 "$build/test" ${CASES:-6000} >"$build/out" || { echo "$1 f$dtype: FAILED"; cat "$build/out"; status=1; continue; }
        [ -e "$build/f$dtype" ] || cp "$build/out" "$build/f$dtype"
        if cmp -s "$build/out" "$build/f$dtype"; then echo "$1 f$dtype: ok"; else
            echo "$1 f$dtype: bits differ from the first instruction set"
            diff "$build/f$dtype" "$build/out" || status=1
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
