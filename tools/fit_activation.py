"""Fit the polynomials of csrc/ops/activation.h and activation_gelu.h, and write csrc/ops/activation_coefficients.h.

Each is the interpolation at Chebyshev's nodes, whose error is within a small factor of the least possible one, computed
with 60 digits and rounded to the dtype.

    python tools/fit_activation.py
"""

from pathlib import Path

import mpmath as mp
import numpy as np

mp.mp.dps = 60
OUTPUT = Path(__file__).resolve().parent.parent / "csrc" / "ops" / "activation_coefficients.h"

# Of the normal tail: the shift k, the largest a, and the number of coefficients.
TAIL = {np.float32: (mp.mpf("3"), mp.mpf("14.6"), 11), np.float64: (mp.mpf("4"), mp.mpf("39.1"), 24)}
# Of tanhshrink: the number of coefficients.
SHRINK = {np.float32: 9, np.float64: 18}


def interpolate(f, low, high, count):
    """Coefficients, lowest power first, of the polynomial through f at `count` Chebyshev nodes of [low, high]."""
    nodes = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]
    powers = mp.matrix([[x**p for p in range(count)] for x in nodes])
    return list(mp.lu_solve(powers, mp.matrix([f(x) for x in nodes])))


def tail(k):
    """Mills' ratio over sqrt(2 pi), times a + k, as a function of t = 1 - 2 k / (a + k)."""

    def f(t):
        a = 2 * k / (1 - t) - k
        return mp.erfc(a / mp.sqrt(2)) / 2 * mp.exp(a * a / 2) * (a + k)

    return f


def shrink(u):
    """(x - tanh(x)) / x^3 at x^2 = u."""
    if u < mp.mpf("1e-18"):
        return mp.mpf(1) / 3 - 2 * u / 15
    x = mp.sqrt(u)
    return (x - mp.tanh(x)) / x**3


def problems(dtype):
    k, top, count = TAIL[dtype]
    yield (
        "normal_tail",
        f"(a + k) exp(a^2 / 2) Phi(-a) in powers of t = 1 - 2 k / (a + k), k = {mp.nstr(k)}, on 0 <= a <= {mp.nstr(top)}",
        tail(k), mp.mpf(-1), 1 - 2 * k / (top + k), count,
    )  # fmt: skip
    yield "shrink", "(x - tanh(x)) / x^3 in powers of x^2, on |x| <= 1", shrink, mp.mpf(0), mp.mpf(1), SHRINK[dtype]


def rounded(x, dtype):
    return float(np.float32(float(x))) if dtype == np.float32 else float(x)


def main():
    lines = [
        "/* activation_coefficients.h — written by tools/fit_activation.py: polynomials, lowest power first, each with the largest",
        " * relative error of the rounded coefficients. */",
    ]
    for dtype, condition in ((np.float32, "#ifdef FNN_DTYPE_IS_F32"), (np.float64, "#else")):
        lines.append(condition)
        for name, text, f, low, high, count in problems(dtype):
            coefficients = [rounded(c, dtype) for c in interpolate(f, low, high, count)]
            grid = [low + (high - low) * mp.mpf(i) / 400 for i in range(401)]
            exact = [mp.mpf(c) for c in reversed(coefficients)]
            bits = float(mp.log(max(abs(mp.polyval(exact, x) / f(x) - 1) for x in grid), 2))
            print(f"{dtype.__name__} {name}: {count} coefficients, 2^{bits:.1f}", flush=True)
            lines += [f"/* {text}: 2^{bits:.1f} */", f"static const T {name}_p[{count}] = {{"]
            lines += [f"    T_C({c.hex()})," for c in coefficients]
            lines.append("};")
    lines += ["#endif", ""]
    OUTPUT.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
