#!/bin/sh
# Builds csrc and every tests/c/test_*.c (each a program that returns 0 on success), and runs them. A test that is compiled once per
# instruction set has its own script, tests/c/run_NAME.sh, which sees to Arm itself.
#
#   tools/run_c_tests.sh [NAME...]      only tests/c/test_NAME.c
#   CC=clang tools/run_c_tests.sh       another compiler
#   SANITIZE=thread, address or undefined; EXTRA_CFLAGS; RUNNER: a command that runs the programs, as tools/cross_neon.sh uses it
#   TARGET=aarch64 (default: this machine's)
set -eu
cd "$(dirname "$0")/.."

CC=${CC:-cc}
TARGET=${TARGET:-$(uname -m)}
BUILD=build/c_tests/$TARGET-$(basename "$CC")-${SANITIZE:-plain}
CFLAGS="-std=c11 -Os -g -ffp-contract=off -Wall -Wextra -Wno-maybe-uninitialized -Icsrc ${EXTRA_CFLAGS:-}" # small: the kernels are linked, hardly run
if [ -n "${SANITIZE:-}" ]; then
    CFLAGS="$CFLAGS -O1 -fsanitize=$SANITIZE -fno-omit-frame-pointer"
fi
case $TARGET in
    x86_64 | amd64) ISAS="scalar avx2 avx512" ;;
    aarch64 | arm64) ISAS="scalar neon" ;;
    *) ISAS="scalar" ;;
esac

isa_flags() {
    case $1 in
        avx2) echo "-mavx2 -mfma" ;;
        avx512) echo "-mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mprefer-vector-width=512" ;;
    esac
}

# Where a source is compiled to: two folders may hold files of one name.
object() {
    echo "$BUILD/$(echo "${1%.c}" | tr / _).o"
}

# Compile csrc, as many files at a time as there are processors, if anything has changed.
mkdir -p "$BUILD"
commands=$BUILD/commands
for source in $(find csrc -name '*.c' ! -path 'csrc/isa/*' | sort); do
    echo "$CC $CFLAGS -c $source -o $(object "$source")"
done >"$commands"
for isa in $ISAS; do
    for source in csrc/isa/"$isa"_*.c; do
        echo "$CC $CFLAGS $(isa_flags "$isa") -c $source -o $(object "$source")"
    done
done >>"$commands"
if ! cmp -s "$commands" "$BUILD/done" || [ -n "$(find csrc -newer "$BUILD/done")" ]; then
    rm -f "$BUILD"/*.o "$BUILD/done"
    tr '\n' '\0' <"$commands" | xargs -0 -n 1 -P "$(getconf _NPROCESSORS_ONLN)" sh -ec
    mv "$commands" "$BUILD/done"
fi

# Link and run the tests. ThreadSanitizer would stop children that start threads.
export TSAN_OPTIONS="die_after_fork=0 ${TSAN_OPTIONS:-}"
failed=""
for name in ${*:-$(ls tests/c/test_*.c | sed 's|.*/test_||; s|\.c$||')}; do
    if [ -f "tests/c/run_$name.sh" ]; then
        [ -z "${RUNNER:-}" ] || continue
        run="sh tests/c/run_$name.sh"
    else
        $CC $CFLAGS "tests/c/test_$name.c" "$BUILD"/*.o -o "$BUILD/test_$name" -pthread -lm
        run="${RUNNER:-} $BUILD/test_$name"
    fi
    if $run; then
        echo "ok      $name"
    else
        echo "FAILED  $name"
        failed="$failed $name"
    fi
done
if [ -n "$failed" ]; then
    echo "$TARGET, $CC: failed:$failed" >&2
    exit 1
fi
