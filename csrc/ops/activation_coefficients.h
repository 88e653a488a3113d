/* activation_coefficients.h — written by tools/fit_activation.py: polynomials, lowest power first, each with the largest
 * relative error of the rounded coefficients. */
#ifdef FNN_DTYPE_IS_F32
/* (a + k) exp(a^2 / 2) Phi(-a) in powers of t = 1 - 2 k / (a + k), k = 3.0, on 0 <= a <= 14.6: 2^-24.6 */
static const T normal_tail_p[11] = {
    T_C(0x1.754a760000000p-1),
    T_C(-0x1.04c72a0000000p-1),
    T_C(0x1.d713820000000p-3),
    T_C(-0x1.832d2a0000000p-5),
    T_C(-0x1.56d4100000000p-7),
    T_C(0x1.c8c6720000000p-8),
    T_C(0x1.0c78aa0000000p-10),
    T_C(-0x1.0f21480000000p-10),
    T_C(-0x1.007cfa0000000p-12),
    T_C(0x1.1748c20000000p-13),
    T_C(0x1.d09dc40000000p-15),
};
/* (x - tanh(x)) / x^3 in powers of x^2, on |x| <= 1: 2^-24.9 */
static const T shrink_p[9] = {
    T_C(0x1.5555560000000p-2),
    T_C(-0x1.11110e0000000p-3),
    T_C(0x1.ba1a400000000p-5),
    T_C(-0x1.66324a0000000p-6),
    T_C(0x1.2137f40000000p-7),
    T_C(-0x1.c7eb480000000p-9),
    T_C(0x1.459fc80000000p-10),
    T_C(-0x1.6217ec0000000p-12),
    T_C(0x1.9692540000000p-15),
};
#else
/* (a + k) exp(a^2 / 2) Phi(-a) in powers of t = 1 - 2 k / (a + k), k = 4.0, on 0 <= a <= 39.1: 2^-53.1 */
static const T normal_tail_p[24] = {
    T_C(0x1.82b4bb8c94dcep-1),
    T_C(-0x1.373e3a893c28ap-1),
    T_C(0x1.8c6dbf2cfc2afp-2),
    T_C(-0x1.7dff2bff68368p-3),
    T_C(0x1.eec4cc3e4db96p-5),
    T_C(-0x1.ee2761048b2d1p-8),
    T_C(-0x1.c81719d611debp-9),
    T_C(0x1.ab825fc397cc8p-10),
    T_C(0x1.17a4aec0546a6p-13),
    T_C(-0x1.e4a42607615cap-13),
    T_C(-0x1.001f43a1bc435p-19),
    T_C(0x1.26d0a3337911fp-15),
    T_C(0x1.80c1dfc4dcedep-21),
    T_C(-0x1.8d4bc64e3824ap-18),
    T_C(-0x1.5210c2e8d85aep-21),
    T_C(0x1.12386ebca2be9p-20),
    T_C(0x1.23d87b26067c4p-22),
    T_C(-0x1.4cc6caec1cf23p-23),
    T_C(-0x1.6ecf98329f3a3p-24),
    T_C(0x1.c84150bc78ce3p-27),
    T_C(0x1.51028e2908cfap-26),
    T_C(0x1.07a5461eecce3p-29),
    T_C(-0x1.5a7dd544f964ap-29),
    T_C(-0x1.8f12cfb877105p-31),
};
/* (x - tanh(x)) / x^3 in powers of x^2, on |x| <= 1: 2^-54.0 */
static const T shrink_p[18] = {
    T_C(0x1.5555555555555p-2),
    T_C(-0x1.1111111111110p-3),
    T_C(0x1.ba1ba1ba1b8c3p-5),
    T_C(-0x1.664f4882b9d51p-6),
    T_C(0x1.226e355d240fap-7),
    T_C(-0x1.d6d3d09a58b38p-9),
    T_C(0x1.7da35f3845119p-10),
    T_C(-0x1.3557e29b035b5p-11),
    T_C(0x1.f578a02336539p-13),
    T_C(-0x1.965c1c0a7a029p-14),
    T_C(0x1.48c835d08eb0bp-15),
    T_C(-0x1.082ba06836cb0p-16),
    T_C(0x1.9e8b9d82261bap-18),
    T_C(-0x1.31a4334500a8ep-19),
    T_C(0x1.8bd6f5c8dad4cp-21),
    T_C(-0x1.97237d2c00d33p-23),
    T_C(0x1.1d780e216e2d0p-25),
    T_C(-0x1.8e4da3a2aa99ap-29),
};
#endif
