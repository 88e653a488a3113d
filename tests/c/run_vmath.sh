#!/bin/sh
# As run_vec.sh, for test_vmath.c.
TEST=vmath exec sh "$(dirname "$0")/run_vec.sh"
