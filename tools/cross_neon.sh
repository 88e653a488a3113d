#!/bin/sh
# The C tests on 64-bit Arm: cross-compiled statically and run under QEMU's user mode, where both are installed (Debian's
# gcc-aarch64-linux-gnu and qemu-user); else it says so and succeeds.
set -eu
for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    if ! command -v "$tool" >/dev/null; then
        echo "cross_neon: skipped, there is no $tool"
        exit 0
    fi
done
CC=aarch64-linux-gnu-gcc TARGET=aarch64 RUNNER=qemu-aarch64 EXTRA_CFLAGS="-static -DEMULATED ${EXTRA_CFLAGS:-}" exec "$(dirname "$0")/run_c_tests.sh" "$@"
