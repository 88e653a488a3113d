/* vmath_coefficients.h — written by tools/fit_vmath.py: minimax polynomials, lowest power first, each with the largest
 * weighted error of the rounded coefficients. */
#ifdef FNN_DTYPE_IS_F32
/* (exp(r) - 1 - r) / r^2 on |r| <= ln(2)/2, for the least error relative to exp(r): 2^-28.2 */
static const T exp_q[5] = {
    T_C(0x1.fffffc0000000p-2),
    T_C(0x1.55548c0000000p-3),
    T_C(0x1.55585a0000000p-5),
    T_C(0x1.123d280000000p-7),
    T_C(0x1.6aaf300000000p-10),
};
/* the same, for the least error relative to expm1(r): 2^-28.1 */
static const T expm1_q[6] = {
    T_C(0x1.0000000000000p-1),
    T_C(0x1.55552c0000000p-3),
    T_C(0x1.5555020000000p-5),
    T_C(0x1.1155b20000000p-7),
    T_C(0x1.6d2b1a0000000p-10),
    T_C(0x1.3b22280000000p-13),
};
/* (log1p(f) - f + f^2/2) / f^3 on [sqrt(1/2) - 1, sqrt(2) - 1], relative to log1p(f): 2^-25.4 */
static const T log1p_q[8] = {
    T_C(0x1.5555540000000p-2),
    T_C(-0x1.0002280000000p-2),
    T_C(0x1.99a0280000000p-3),
    T_C(-0x1.54716c0000000p-3),
    T_C(0x1.22d6d00000000p-3),
    T_C(-0x1.0d5ff40000000p-3),
    T_C(0x1.052dda0000000p-3),
    T_C(-0x1.3978f80000000p-4),
};
/* (log1p(e) - e) / e^2 on [0, 1], relative to log1p(e): 2^-27.5 */
static const T softplus_q[10] = {
    T_C(-0x1.fffff80000000p-2),
    T_C(0x1.5553b40000000p-2),
    T_C(-0x1.ffc54c0000000p-3),
    T_C(0x1.9788b40000000p-3),
    T_C(-0x1.4a674a0000000p-3),
    T_C(0x1.feeeaa0000000p-4),
    T_C(-0x1.54976a0000000p-4),
    T_C(0x1.5859140000000p-5),
    T_C(-0x1.bf502e0000000p-7),
    T_C(0x1.1011c80000000p-9),
};
/* erf(x)/x - 1 in powers of x^2, on |x| <= 0.875, relative to erf(x)/x: 2^-26.0 */
static const T erf_q[6] = {
    T_C(0x1.06eba60000000p-3),
    T_C(-0x1.8126ec0000000p-2),
    T_C(0x1.ce1b840000000p-4),
    T_C(-0x1.b69b5a0000000p-6),
    T_C(0x1.479a980000000p-8),
    T_C(-0x1.3b9f3a0000000p-11),
};
/* log(erfc(x)) in powers of x - 2.0, on [0.875, 4.0], times erfc(x) / erf(x): 2^-27.5 */
static const T erf_g[9] = {
    T_C(-0x1.575b320000000p+2),
    T_C(-0x1.1ac3160000000p+2),
    T_C(-0x1.d8f4960000000p-1),
    T_C(-0x1.0e11420000000p-6),
    T_C(0x1.c8e6b80000000p-9),
    T_C(-0x1.aa019c0000000p-11),
    T_C(0x1.2578420000000p-13),
    T_C(0x1.02985e0000000p-16),
    T_C(0x1.b4a1d20000000p-17),
};
#else
/* (exp(r) - 1 - r) / r^2 on |r| <= ln(2)/2, for the least error relative to exp(r): 2^-53.0 */
static const T exp_q[10] = {
    T_C(0x1.000000000000ap-1),
    T_C(0x1.555555555544ep-3),
    T_C(0x1.555555555034ep-5),
    T_C(0x1.111111112639cp-7),
    T_C(0x1.6c16c186588afp-10),
    T_C(0x1.a01a01e383606p-13),
    T_C(0x1.a01991c768f88p-16),
    T_C(0x1.71dc63cb07624p-19),
    T_C(0x1.28b789c5101bfp-22),
    T_C(0x1.b3591afb9aa0ap-26),
};
/* the same, for the least error relative to expm1(r): 2^-47.3 */
static const T expm1_q[11] = {
    T_C(0x1.0000000000000p-1),
    T_C(0x1.5555555555559p-3),
    T_C(0x1.555555555555ap-5),
    T_C(0x1.111111110f717p-7),
    T_C(0x1.6c16c16c14ecep-10),
    T_C(0x1.a01a01af44874p-13),
    T_C(0x1.a01a01a34131ap-16),
    T_C(0x1.71de01f4c9cefp-19),
    T_C(0x1.27e5042066ecfp-22),
    T_C(0x1.b325ebb81f60ap-26),
    T_C(0x1.2ea34fb53ab91p-29),
};
/* (log1p(f) - f + f^2/2) / f^3 on [sqrt(1/2) - 1, sqrt(2) - 1], relative to log1p(f): 2^-28.7 */
static const T log1p_q[18] = {
    T_C(0x1.55555555551f1p-2),
    T_C(-0x1.0000000001f35p-2),
    T_C(0x1.9999999a342aep-3),
    T_C(-0x1.555555529ade0p-3),
    T_C(0x1.249248dbadfaap-3),
    T_C(-0x1.00000092eee94p-3),
    T_C(0x1.c71c92ba0f91dp-4),
    T_C(-0x1.99998ddc1ed19p-4),
    T_C(0x1.745909aaeb143p-4),
    T_C(-0x1.555189ba32100p-4),
    T_C(0x1.3b57de8ced4f2p-4),
    T_C(-0x1.252ada86acbd4p-4),
    T_C(0x1.0fc123a7c9e2bp-4),
    T_C(-0x1.e2af9e106e2e9p-5),
    T_C(-0x1.0bfe89ee47d2cp-4),
    T_C(0x1.202e7d41ae511p+0),
    T_C(-0x1.dafeaa6c0dae9p+1),
    T_C(0x1.e90a59940db12p+1),
};
/* (log1p(e) - e) / e^2 on [0, 1], relative to log1p(e): 2^-46.5 */
static const T softplus_q[20] = {
    T_C(-0x1.fffffffffff9fp-2),
    T_C(0x1.5555555551053p-2),
    T_C(-0x1.fffffffdd4a50p-3),
    T_C(0x1.99999951f9f67p-3),
    T_C(-0x1.55554fbe3f30ep-3),
    T_C(0x1.2491fed7443f6p-3),
    T_C(-0x1.fffa8b99e6c87p-4),
    T_C(0x1.c6f6a6b4086a4p-4),
    T_C(-0x1.98d28ec4b4a42p-4),
    T_C(0x1.712dd75696dc1p-4),
    T_C(-0x1.4b01c67886e39p-4),
    T_C(0x1.202d27b6ef990p-4),
    T_C(-0x1.d70e99d6f21d7p-5),
    T_C(0x1.5a85799c1cadbp-5),
    T_C(-0x1.b62a2735a5688p-6),
    T_C(0x1.c56de0000c188p-7),
    T_C(-0x1.6b2f4d28af6d1p-8),
    T_C(0x1.a206ec05f5727p-10),
    T_C(-0x1.316ad6662a38cp-12),
    T_C(0x1.a7646c337a8acp-16),
};
/* erf(x)/x - 1 in powers of x^2, on |x| <= 1.0, relative to erf(x)/x: 2^-55.6 */
static const T erf_q[12] = {
    T_C(0x1.06eba8214db68p-3),
    T_C(-0x1.812746b03799dp-2),
    T_C(0x1.ce2f21a03f8c3p-4),
    T_C(-0x1.b82ce311a9deap-6),
    T_C(0x1.565bcceeefc4fp-8),
    T_C(-0x1.c02daebbc8ac5p-11),
    T_C(0x1.f9a2974e3140fp-14),
    T_C(-0x1.f4c83ab56a8d6p-17),
    T_C(0x1.b96be3a00dba1p-20),
    T_C(-0x1.5b905e092c257p-23),
    T_C(0x1.d3fcee206c57ep-27),
    T_C(-0x1.a2a6dfdfda415p-31),
};
/* log(erfc(x)) in powers of x - 2.5, on [1.0, 6.0], times erfc(x) / erf(x): 2^-17.6 */
static const T erf_g[23] = {
    T_C(-0x1.f3a2dc8691b91p+2),
    T_C(-0x1.56925248da938p+2),
    T_C(-0x1.e3460a18c5645p-1),
    T_C(-0x1.63cc1da7b5cf5p-7),
    T_C(0x1.1bd558eb8f5a0p-9),
    T_C(-0x1.b961394b7f1d5p-12),
    T_C(0x1.43173388b4792p-14),
    T_C(-0x1.ac03d43d3d289p-17),
    T_C(0x1.dada608d750ccp-20),
    T_C(-0x1.4efd003deb279p-23),
    T_C(-0x1.afe52c89d2e46p-27),
    T_C(0x1.34b383cf627acp-27),
    T_C(-0x1.5924405b7b34fp-22),
    T_C(-0x1.b42ad0cc59ba8p-18),
    T_C(-0x1.a27384718d642p-15),
    T_C(-0x1.9d65640badda7p-13),
    T_C(-0x1.d19755b74198ep-12),
    T_C(-0x1.2ff2485f9e49ep-11),
    T_C(-0x1.511aec7bee14cp-9),
    T_C(-0x1.b301c5541f876p-8),
    T_C(-0x1.dfb2a302386b0p-8),
    T_C(-0x1.dcb40636bc5a0p-9),
    T_C(-0x1.6317b20639175p-11),
};
#endif
