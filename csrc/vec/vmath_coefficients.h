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
/* erf(x)/x - 1 in powers of x^2, on |x| <= 0.875, relative to erf(x)/x: 2^-30.1 */
static const T erf_q[7] = {
    T_C(0x1.06eba80000000p-3),
    T_C(-0x1.8127420000000p-2),
    T_C(0x1.ce2e000000000p-4),
    T_C(-0x1.b80fd20000000p-6),
    T_C(0x1.54e1f60000000p-8),
    T_C(-0x1.ab87aa0000000p-11),
    T_C(0x1.622a840000000p-14),
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
/* tanh(x) on 16 intervals: centre c, coefficients in powers of x - c; relative error 2^-25.5 */
static const T tanh_table[7][16] = {
    {
        T_C(0x1.89ddbe0000000p-1), T_C(0x1.13b5100000000p+0), T_C(0x1.6278ec0000000p+0), T_C(0x1.b141040000000p+0),
        T_C(0x1.13b3ce0000000p+1), T_C(0x1.627b740000000p+1), T_C(0x1.b13c360000000p+1), T_C(0x1.00005a0000000p+2),
        T_C(0x1.3b16980000000p+2), T_C(0x1.89f6e60000000p+2), T_C(0x1.daff860000000p+2), T_C(0x1.153e460000000p+3),
        T_C(0x0.0p+0), T_C(0x1.d89f1e0000000p-3), T_C(0x1.89d8a40000000p-2), T_C(0x1.13b6360000000p-1),
    },
    {
        T_C(0x1.4b02aa0000000p-1), T_C(0x1.958b200000000p-1), T_C(0x1.c394300000000p-1), T_C(0x1.de707e0000000p-1),
        T_C(0x1.f265c60000000p-1), T_C(0x1.fbfd780000000p-1), T_C(0x1.fed3460000000p-1), T_C(0x1.ffa8180000000p-1),
        T_C(0x1.fff2200000000p-1), T_C(0x1.fffed20000000p-1), T_C(0x1.ffffe80000000p-1), T_C(0x1.fffffe0000000p-1),
        T_C(0x0.0p+0), T_C(0x1.d068140000000p-3), T_C(0x1.7782920000000p-2), T_C(0x1.f7a7e00000000p-2),
    },
    {
        T_C(0x1.2a00100000000p-1), T_C(0x1.7d8e800000000p-2), T_C(0x1.c6d9100000000p-3), T_C(0x1.03af700000000p-3),
        T_C(0x1.ad7efa0000000p-5), T_C(0x1.ff41960000000p-7), T_C(0x1.2c61ca0000000p-8), T_C(0x1.5f81f40000000p-10),
        T_C(0x1.bc05b80000000p-13), T_C(0x1.2e08f60000000p-16), T_C(0x1.8029140000000p-20), T_C(0x1.005b2a0000000p-23),
        T_C(0x1.0000000000000p+0), T_C(0x1.e5ac340000000p-1), T_C(0x1.bb26060000000p-1), T_C(0x1.84235c0000000p-1),
    },
    {
        T_C(-0x1.8151340000000p-2), T_C(-0x1.2e3a1c0000000p-2), T_C(-0x1.912d360000000p-3), T_C(-0x1.e554680000000p-4),
        T_C(-0x1.a2112a0000000p-5), T_C(-0x1.fb2f1a0000000p-7), T_C(-0x1.2ba4ce0000000p-8), T_C(-0x1.5f361a0000000p-10),
        T_C(-0x1.baa9780000000p-13), T_C(-0x1.2d21e80000000p-16), T_C(-0x1.7ef9b40000000p-20), T_C(-0x1.ff26600000000p-24),
        T_C(0x1.d386900000000p-21), T_C(-0x1.b886620000000p-3), T_C(-0x1.45032c0000000p-2), T_C(-0x1.7dcfd60000000p-2),
    },
    {
        T_C(0x1.936ff00000000p-5), T_C(0x1.c0ce5a0000000p-4), T_C(0x1.9471700000000p-4), T_C(0x1.18652e0000000p-4),
        T_C(0x1.07d5160000000p-5), T_C(0x1.4cd3120000000p-7), T_C(0x1.8db0e00000000p-9), T_C(0x1.d3a67a0000000p-11),
        T_C(0x1.26fd340000000p-13), T_C(0x1.9152260000000p-17), T_C(0x1.fb80ca0000000p-21), T_C(0x1.5202700000000p-24),
        T_C(-0x1.5562960000000p-2), T_C(-0x1.11d5280000000p-2), T_C(-0x1.607b280000000p-3), T_C(-0x1.1bdce00000000p-4),
    },
    {
        T_C(0x1.7f78a00000000p-4), T_C(0x1.9083880000000p-7), T_C(-0x1.5f3ee60000000p-6), T_C(-0x1.8f66fe0000000p-6),
        T_C(-0x1.d85ade0000000p-7), T_C(-0x1.46f0ba0000000p-8), T_C(-0x1.90b1fa0000000p-10), T_C(-0x1.da9f7c0000000p-12),
        T_C(-0x1.3d27ac0000000p-14), T_C(-0x1.afd7ba0000000p-18), T_C(-0x1.1206e40000000p-21), T_C(-0x1.6d0cc00000000p-25),
        T_C(0x1.c93d840000000p-11), T_C(0x1.0dff680000000p-3), T_C(0x1.58e6d80000000p-3), T_C(0x1.43a3480000000p-3),
    },
    {
        T_C(-0x1.0265b20000000p-4), T_C(-0x1.33e2160000000p-5), T_C(-0x1.2789460000000p-7), T_C(0x1.6b0eb80000000p-9),
        T_C(0x1.1c65520000000p-8), T_C(0x1.e7c7300000000p-10), T_C(0x1.3a48940000000p-11), T_C(0x1.7979e40000000p-13),
        T_C(0x1.faaa460000000p-16), T_C(0x1.5a6a240000000p-19), T_C(0x1.d8c95a0000000p-23), T_C(0x1.42ba300000000p-26),
        T_C(0x1.06c4760000000p-3), T_C(0x1.48828c0000000p-4), T_C(0x1.d564ac0000000p-7), T_C(-0x1.32f3a00000000p-5),
    },
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
/* (log1p(f) - f + f^2/2) / f^3 on [sqrt(1/2) - 1, sqrt(2) - 1], relative to log1p(f): 2^-58.5 */
static const T log1p_q[20] = {
    T_C(0x1.555555555556bp-2),
    T_C(-0x1.ffffffffffe7ep-3),
    T_C(0x1.9999999994d4cp-3),
    T_C(-0x1.555555556ae82p-3),
    T_C(0x1.249249275fe04p-3),
    T_C(-0x1.fffffff3d201dp-4),
    T_C(0x1.c71c702d54efep-4),
    T_C(-0x1.99999a98067c3p-4),
    T_C(0x1.745d58debf3f2p-4),
    T_C(-0x1.555577abd9f70p-4),
    T_C(0x1.3b0d78c7cecdbp-4),
    T_C(-0x1.24893c9f95266p-4),
    T_C(0x1.1169f05f253a8p-4),
    T_C(-0x1.00d030b2ea0f0p-4),
    T_C(0x1.dc99cfe1ddc29p-5),
    T_C(-0x1.b459ce94c3dfdp-5),
    T_C(0x1.bb9eb754aef61p-5),
    T_C(-0x1.01081e3f67a3fp-4),
    T_C(0x1.d2d44875f4a87p-5),
    T_C(-0x1.8df5603e37b3fp-6),
};
/* (log1p(e) - e) / e^2 on [0, 1], relative to log1p(e): 2^-59.0 */
static const T softplus_q[21] = {
    T_C(-0x1.fffffffffffeep-2),
    T_C(0x1.555555555475fp-2),
    T_C(-0x1.ffffffff853a3p-3),
    T_C(0x1.9999998845a98p-3),
    T_C(-0x1.555553d9dbe6ap-3),
    T_C(0x1.24923382bbae1p-3),
    T_C(-0x1.fffe40bb1a313p-4),
    T_C(0x1.c70f1887fabc2p-4),
    T_C(-0x1.994be06182680p-4),
    T_C(0x1.72fc27565f920p-4),
    T_C(-0x1.505ce186e6684p-4),
    T_C(0x1.2ca45ae43c983p-4),
    T_C(-0x1.0261e1d8b0fdcp-4),
    T_C(0x1.9c792d0aa548bp-5),
    T_C(-0x1.258a04cf5192bp-5),
    T_C(0x1.64aaf7138852ap-6),
    T_C(-0x1.614ff527b6591p-7),
    T_C(0x1.0e7ed2fb94776p-8),
    T_C(-0x1.29aaee78b591ep-10),
    T_C(0x1.a07d8e78826ddp-13),
    T_C(-0x1.151fc80103209p-16),
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
/* log(erfc(x)) in powers of x - 2.5, on [1.0, 6.0], times erfc(x) / erf(x): 2^-63.4 */
static const T erf_g[21] = {
    T_C(-0x1.f3a2dc8691b91p+2),
    T_C(-0x1.56925248da93bp+2),
    T_C(-0x1.e3460a18c5683p-1),
    T_C(-0x1.63cc1da7a9444p-7),
    T_C(0x1.1bd558ec2ebeap-9),
    T_C(-0x1.b9613955db510p-12),
    T_C(0x1.431732c526ee9p-14),
    T_C(-0x1.ac03d403cb743p-17),
    T_C(0x1.dadb4a3fad658p-20),
    T_C(-0x1.4ef1e51782e25p-23),
    T_C(-0x1.b1182f0235529p-27),
    T_C(0x1.77c26b8e245e0p-27),
    T_C(-0x1.e2f2693f90e01p-29),
    T_C(0x1.cd066cacf27f8p-31),
    T_C(-0x1.65f2abb10b724p-33),
    T_C(0x1.a885f53150b98p-36),
    T_C(-0x1.2961510c36b0fp-40),
    T_C(-0x1.ec33d7f609132p-42),
    T_C(0x1.3ef9eea816eb9p-43),
    T_C(-0x1.e6d0f7f644c99p-44),
    T_C(0x1.efbea4d2fb0a2p-46),
};
#endif
