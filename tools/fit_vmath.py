"""Fit the polynomials of csrc/vec/vmath.h and write csrc/vec/vmath_coefficients.h.

Each polynomial p makes the largest weighted error w(x) |p(x) - f(x)| over an interval small (see minimax).
The coefficients are then rounded to the dtype from the lowest power up, and the remaining ones are fitted again after each
rounding, so that they absorb its error.

    python tools/fit_vmath.py
"""
from pathlib import Path

import mpmath as mp
import numpy as np

mp.mp.dps = 60
OUTPUT = Path(__file__).resolve().parent.parent / "csrc" / "vec" / "vmath_coefficients.h"
HALF_LN2 = mp.log(2) / 2 * mp.mpf("1.0005")  # the reduced argument of exp, with room for the rounding of x / ln 2
LOG_LOW, LOG_HIGH = mp.sqrt(0.5) - 1, mp.sqrt(2) - 1


def power_series(coefficient, terms):
    """The function sum of coefficient(k) x**k, for functions whose closed form cancels near 0."""
    coefficients = [mp.mpf(coefficient(k)) for k in reversed(range(terms))]
    return lambda x: mp.polyval(coefficients, x)


def minimax(f, weight, low, high, powers):
    """The coefficients of x**power that make max |weight (sum - f)| on [low, high] small.

    Least squares on Chebyshev nodes, reweighted by the error it leaves (Lawson). Unlike Remez's exchange it stands fixed low
    powers on an interval that contains 0.
    """
    size = 5 * len(powers) + 11
    nodes = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * size)) for i in range(size)]
    weights = np.array([weight(x) for x in nodes], dtype=object)
    target = np.array([f(x) for x in nodes], dtype=object) * weights
    basis = np.array([[x**p for p in powers] for x in nodes], dtype=object) * weights[:, None]
    lawson = np.array([mp.mpf(1)] * size, dtype=object)
    best, least = None, mp.inf
    for _ in range(8):
        scaled = basis * lawson[:, None]
        solution = mp.lu_solve(mp.matrix(basis.T.dot(scaled).tolist()), mp.matrix(scaled.T.dot(target).tolist()))
        coefficients = np.array(list(solution), dtype=object)
        error = abs(basis.dot(coefficients) - target)
        if max(error) < least:
            best, least = coefficients, max(error)
        lawson = lawson * (error / max(error) + mp.mpf("0.01"))
        lawson = lawson / sum(lawson)
    return best


def fit(f, weight, low, high, powers, dtype):
    """As minimax, with coefficients that are numbers of `dtype`."""
    def rounded(x):
        if dtype == np.float64:
            return float(x)
        return float(np.float32(float(mp.nstr(x, 20))))

    fixed = {}
    for power in powers:
        rest = [p for p in powers if p not in fixed]
        known = [(p, mp.mpf(c)) for p, c in fixed.items()]
        coefficients = minimax(lambda x: f(x) - sum(c * x**p for p, c in known), weight, low, high, rest)
        fixed[power] = rounded(coefficients[0])
    size = 500
    grid = [low + (high - low) * mp.mpf(i) / size for i in range(size + 1)]
    worst = max(abs(weight(x) * (sum(c * x**p for p, c in fixed.items()) - f(x))) for x in grid)
    return list(fixed.values()), worst


def problems(dtype):
    single = dtype == np.float32
    exp_tail = power_series(lambda k: 1 / mp.factorial(k + 2), 35)
    log_tail = power_series(lambda k: (-1) ** k / mp.mpf(k + 3), 40)
    erf_over_x = power_series(lambda k: 2 / mp.sqrt(mp.pi) * (-1) ** k / (mp.factorial(k) * (2 * k + 1)) - (k == 0), 50)
    split, top = ERF[dtype]["split"], ERF[dtype]["top"]
    centre = ERF[dtype]["centre"]
    yield ("exp_q", "(exp(r) - 1 - r) / r^2 on |r| <= ln(2)/2, for the least error relative to exp(r)",
           exp_tail, lambda r: r * r / mp.exp(r), -HALF_LN2, HALF_LN2, range(5 if single else 10))
    yield ("expm1_q", "the same, for the least error relative to expm1(r)",
           exp_tail, lambda r: r / (1 + r / 2), -HALF_LN2, HALF_LN2, range(6 if single else 11))
    yield ("log1p_q", "(log1p(f) - f + f^2/2) / f^3 on [sqrt(1/2) - 1, sqrt(2) - 1], relative to log1p(f)",
           lambda f: (mp.log1p(f) - f + f * f / 2) / f**3 if abs(f) > 0.05 else log_tail(f),
           lambda f: f * f / (1 - f / 2 + f * f / 3), LOG_LOW, LOG_HIGH, range(8 if single else 20))
    yield ("softplus_q", "(log1p(e) - e) / e^2 on [0, 1], relative to log1p(e)",
           lambda e: (mp.log1p(e) - e) / e**2 if e > mp.mpf("1e-12") else -mp.mpf(1) / 2 + e / 3 - e * e / 4,
           lambda e: e / (mp.log1p(e) / e if e > 0 else 1), mp.mpf(0), mp.mpf(1), range(10 if single else 21))
    yield ("erf_q", f"erf(x)/x - 1 in powers of x^2, on |x| <= {split}, relative to erf(x)/x",
           erf_over_x, lambda t: 1 / (1 + erf_over_x(t)), mp.mpf(0), mp.mpf(split) ** 2, range(7 if single else 12))
    yield ("erf_g", f"log(erfc(x)) in powers of x - {centre}, on [{split}, {top}], times erfc(x) / erf(x)",
           lambda t: mp.log(mp.erfc(t + centre)), lambda t: mp.erfc(t + centre) / mp.erf(t + centre),
           mp.mpf(split) - centre, mp.mpf(top) - centre, range(9 if single else 21))


def tanh_table():
    """The rows of vmath.h's table for tanh in float: centre, then the polynomial's coefficients, one column for each interval; and the largest error.

    Each centre is the float next to the middle of its interval whose tanh is almost a float, so that the constant term has no error. That of
    the first interval is 0.
    """
    edges = [(mp.mpf(2) ** (i // 4) * (1 + mp.mpf(i % 4) / 4) - 1) / mp.mpf("1.625") for i in range(17)]
    columns, worst = [None] * 16, mp.mpf(0)
    for i, (low, high) in enumerate(zip(edges, edges[1:])):
        centre = np.float32(0 if i == 0 else float((low + high) / 2))
        while abs(mp.tanh(float(centre)) / float(np.float32(float(mp.tanh(float(centre))))) - 1 if centre else 0) > mp.mpf(2) ** -34:
            centre = np.nextafter(centre, np.float32(10))
        c = mp.mpf(float(centre))
        coefficients, error = fit(
            lambda t: (mp.tanh(c + t) - mp.tanh(c)) / t if t else 1 - mp.tanh(c) ** 2,
            lambda t: t / mp.tanh(c + t) if c + t else mp.mpf(1), low - c, high - c, list(range(5)), np.float32,
        )  # fmt: skip
        columns[(i + 12) % 16] = [float(centre), float(np.float32(float(mp.tanh(c)))), *coefficients]
        worst = max(worst, error)
    return list(zip(*columns)), worst


ERF = {np.float32: {"split": 0.875, "top": 4.0, "centre": 2.0},
       np.float64: {"split": 1.0, "top": 6.0, "centre": 2.5}}


def main():
    lines = ["/* vmath_coefficients.h — written by tools/fit_vmath.py: minimax polynomials, lowest power first, each with the largest",
             " * weighted error of the rounded coefficients. */"]
    for dtype, condition in ((np.float32, "#ifdef FNN_DTYPE_IS_F32"), (np.float64, "#else")):
        lines.append(condition)
        for name, text, f, weight, low, high, powers in problems(dtype):
            coefficients, worst = fit(f, weight, low, high, list(powers), dtype)
            bits = float(mp.log(worst, 2))
            print(f"{dtype.__name__} {name}: {len(coefficients)} coefficients, 2^{bits:.1f}", flush=True)
            lines += [f"/* {text}: 2^{bits:.1f} */", f"static const T {name}[{len(coefficients)}] = {{"]
            lines += [f"    T_C({c.hex()})," for c in coefficients]
            lines.append("};")
        if dtype == np.float32:
            rows, worst = tanh_table()
            bits = float(mp.log(worst, 2))
            print(f"float32 tanh_table: 2^{bits:.1f}", flush=True)
            lines += [f"/* tanh(x) on 16 intervals: centre c, coefficients in powers of x - c; relative error 2^{bits:.1f} */",
                      f"static const T tanh_table[{len(rows)}][16] = {{"]
            for row in rows:
                texts = [f"T_C({float(x).hex()})," for x in row]
                lines += ["    {", *("        " + " ".join(texts[i : i + 4]) for i in range(0, 16, 4)), "    },"]
            lines.append("};")
    lines += ["#endif", ""]
    OUTPUT.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
