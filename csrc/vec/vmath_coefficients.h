/* vmath_coefficients.h — written by tools/fit_vmath.py: minimax polynomials, lowest power first, each with the largest
 * weighted error of the rounded coefficients. */
#ifdef FNN_DTYPE_IS_F32
/* (exp(r) - 1 - r) / r^2 on |r| <= ln(2)/2, for the least error relative to exp(r): 2^-28.2 */
static const T exp_q[5] = {
    T_C(0x1.fffffc0000000p-2),
    T_C(0x1.5554920000000p-3),
    T_C(0x1.5558a60000000p-5),
    T_C(0x1.12399c0000000p-7),
    T_C(0x1.6a5d020000000p-10),
};
/* the same, for the least error relative to expm1(r): 2^-31.0 */
static const T expm1_q[6] = {
    T_C(0x1.0000000000000p-1),
    T_C(0x1.5555540000000p-3),
    T_C(0x1.5554f60000000p-5),
    T_C(0x1.1112fc0000000p-7),
    T_C(0x1.6d3c5a0000000p-10),
    T_C(0x1.9e1b1c0000000p-13),
};
/* (log1p(f) - f + f^2/2) / f^3 on [sqrt(1/2) - 1, sqrt(2) - 1], relative to log1p(f): 2^-27.2 */
static const T log1p_q[8] = {
    T_C(0x1.5555540000000p-2),
    T_C(-0x1.0002260000000p-2),
    T_C(0x1.99a0300000000p-3),
    T_C(-0x1.5472b40000000p-3),
    T_C(0x1.22d9240000000p-3),
    T_C(-0x1.0d80f80000000p-3),
    T_C(0x1.05536a0000000p-3),
    T_C(-0x1.38a29a0000000p-4),
};
/* (log1p(e) - e) / e^2 on [0, 1], relative to log1p(e): 2^-29.8 */
static const T softplus_q[10] = {
    T_C(-0x1.fffff80000000p-2),
    T_C(0x1.5553b40000000p-2),
    T_C(-0x1.ffc5560000000p-3),
    T_C(0x1.97894a0000000p-3),
    T_C(-0x1.4a6ac00000000p-3),
    T_C(0x1.ff04060000000p-4),
    T_C(-0x1.54bd160000000p-4),
    T_C(0x1.58a5aa0000000p-5),
    T_C(-0x1.bff85c0000000p-7),
    T_C(0x1.10adc60000000p-9),
};
/* erf(x)/x - 1 in powers of x^2, on |x| <= 0.875, relative to erf(x)/x: 2^-26.1 */
static const T erf_q[6] = {
    T_C(0x1.06eba60000000p-3),
    T_C(-0x1.8126fc0000000p-2),
    T_C(0x1.ce1f2a0000000p-4),
    T_C(-0x1.b6daea0000000p-6),
    T_C(0x1.4945380000000p-8),
    T_C(-0x1.4337980000000p-11),
};
/* log(erfc(x)) in powers of x - 2.0, on [0.875, 4.0], times erfc(x) / erf(x): 2^-29.8 */
static const T erf_g[9] = {
    T_C(-0x1.575b320000000p+2),
    T_C(-0x1.1ac3220000000p+2),
    T_C(-0x1.d8f6120000000p-1),
    T_C(-0x1.0df9380000000p-6),
    T_C(0x1.d1f38e0000000p-9),
    T_C(-0x1.7b8a080000000p-11),
    T_C(0x1.558f7c0000000p-13),
    T_C(-0x1.5dfb920000000p-18),
    T_C(0x1.afbc560000000p-19),
};
#else
/* (exp(r) - 1 - r) / r^2 on |r| <= ln(2)/2, for the least error relative to exp(r): 2^-57.9 */
static const T exp_q[10] = {
    T_C(0x1.000000000000ap-1),
    T_C(0x1.5555555555504p-3),
    T_C(0x1.55555555506a0p-5),
    T_C(0x1.1111111125693p-7),
    T_C(0x1.6c16c18481a42p-10),
    T_C(0x1.a01a013672bc5p-13),
    T_C(0x1.a0199939a5f5cp-16),
    T_C(0x1.71df0ab6943a6p-19),
    T_C(0x1.28ae2508d6e23p-22),
    T_C(0x1.ada96cced50a9p-26),
};
/* the same, for the least error relative to expm1(r): 2^-61.5 */
static const T expm1_q[11] = {
    T_C(0x1.0000000000000p-1),
    T_C(0x1.5555555555559p-3),
    T_C(0x1.555555555554fp-5),
    T_C(0x1.111111110f64ep-7),
    T_C(0x1.6c16c16c19d22p-10),
    T_C(0x1.a01a01b007510p-13),
    T_C(0x1.a01a01924b0ddp-16),
    T_C(0x1.71ddf803f5e2fp-19),
    T_C(0x1.27e50a68122ebp-22),
    T_C(0x1.af5f436856787p-26),
    T_C(0x1.1f278c691f3a5p-29),
};
/* (log1p(f) - f + f^2/2) / f^3 on [sqrt(1/2) - 1, sqrt(2) - 1], relative to log1p(f): 2^-53.8 */
static const T log1p_q[18] = {
    T_C(0x1.55555555551d8p-2),
    T_C(-0x1.000000000039bp-2),
    T_C(0x1.9999999a2d6fbp-3),
    T_C(-0x1.555555556f3eep-3),
    T_C(0x1.249248e21bc5ap-3),
    T_C(-0x1.ffffff751f372p-4),
    T_C(0x1.c71c8e7631663p-4),
    T_C(-0x1.9999cc7e6eff5p-4),
    T_C(0x1.7459bb8c4d27ap-4),
    T_C(-0x1.554d09e68cd25p-4),
    T_C(0x1.3b4b7c574afd3p-4),
    T_C(-0x1.25494c2ee088bp-4),
    T_C(0x1.0f4011dfbdca8p-4),
    T_C(-0x1.eee67884485d3p-5),
    T_C(0x1.e9146c3d593fbp-5),
    T_C(-0x1.15e4b7ee365fap-4),
    T_C(0x1.0355debb2c3c6p-4),
    T_C(-0x1.d0e289912c5fep-6),
};
/* (log1p(e) - e) / e^2 on [0, 1], relative to log1p(e): 2^-56.1 */
static const T softplus_q[20] = {
    T_C(-0x1.fffffffffff9ep-2),
    T_C(0x1.5555555550fb9p-2),
    T_C(-0x1.fffffffdd09d9p-3),
    T_C(0x1.999999518a0d0p-3),
    T_C(-0x1.55554fb6d4928p-3),
    T_C(0x1.2491fe833fc8cp-3),
    T_C(-0x1.fffa8659936fbp-4),
    T_C(0x1.c6f687e5cf390p-4),
    T_C(-0x1.98d206c9839b7p-4),
    T_C(0x1.712c0ba8e2a49p-4),
    T_C(-0x1.4afd12fe0d851p-4),
    T_C(0x1.20239120c4a76p-4),
    T_C(-0x1.d6f01b8c94cc3p-5),
    T_C(0x1.5a5fea52e14d3p-5),
    T_C(-0x1.b5e3e1df0084ap-6),
    T_C(0x1.c50e4ba71e32fp-7),
    T_C(-0x1.6ad8eebd86368p-8),
    T_C(0x1.a1b3fa3c0d4e6p-10),
    T_C(-0x1.31657ddef60b6p-12),
    T_C(0x1.a8179baef42bep-16),
};
/* erf(x)/x - 1 in powers of x^2, on |x| <= 1.0, relative to erf(x)/x: 2^-56.0 */
static const T erf_q[12] = {
    T_C(0x1.06eba8214db68p-3),
    T_C(-0x1.812746b0379aap-2),
    T_C(0x1.ce2f21a040432p-4),
    T_C(-0x1.b82ce311ddee4p-6),
    T_C(0x1.565bccf60fcdep-8),
    T_C(-0x1.c02dafd602ac5p-11),
    T_C(0x1.f9a2b2070e1c5p-14),
    T_C(-0x1.f4c9d5986c1c7p-17),
    T_C(0x1.b97b9aaa8cb91p-20),
    T_C(-0x1.5bef4772f9934p-23),
    T_C(0x1.d68174dbb06c1p-27),
    T_C(-0x1.aa01122735636p-31),
};
/* log(erfc(x)) in powers of x - 2.5, on [1.0, 6.0], times erfc(x) / erf(x): 2^-61.9 */
static const T erf_g[23] = {
    T_C(-0x1.f3a2dc8691b91p+2),
    T_C(-0x1.56925248da93bp+2),
    T_C(-0x1.e3460a18c56a7p-1),
    T_C(-0x1.63cc1da7ac259p-7),
    T_C(0x1.1bd558ec4a9fep-9),
    T_C(-0x1.b961394ef2dddp-12),
    T_C(0x1.431732d69a9a5p-14),
    T_C(-0x1.ac03d7ea66122p-17),
    T_C(0x1.dadb17482f70ep-20),
    T_C(-0x1.4ef0cd89c9da9p-23),
    T_C(-0x1.b0d8c7eef94b6p-27),
    T_C(0x1.77d2f90c51e44p-27),
    T_C(-0x1.e3ea6137d6738p-29),
    T_C(0x1.ca3ec9f87fee4p-31),
    T_C(-0x1.600901c01fab5p-33),
    T_C(0x1.e852640322fcap-36),
    T_C(-0x1.2fe7cc0214400p-40),
    T_C(-0x1.c2b7eda5ae308p-40),
    T_C(-0x1.bd2efcd2674a6p-44),
    T_C(0x1.1951956bcc227p-44),
    T_C(0x1.7783ca4f40d26p-44),
    T_C(-0x1.474612e5845fbp-47),
    T_C(-0x1.13064c12f3ab2p-48),
};
#endif
