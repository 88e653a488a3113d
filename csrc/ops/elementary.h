/* elementary.h — the elementary functions of vec/vmath.h as kernels: y = f(x), element by element, with the errors stated there. */
#define ELEMENTARY(name)                                                                                                      \
    FNN_INLINE V name##_map(V x, V p, V q)                                                                                    \
    {                                                                                                                         \
        (void)p, (void)q;                                                                                                     \
        return v_##name(x);                                                                                                   \
    }

FNN_INLINE V exp_map(V x, V p, V q, int ordinary)
{
    (void)p, (void)q;
    return v_exp_of(x, ordinary);
}

ELEMENTARY(expm1)
ELEMENTARY(log)
ELEMENTARY(log1p)
ELEMENTARY(erf)

MAP_GUARDED(exp_forward, exp_map, all_below, EXP_ORDINARY)
MAP(expm1_forward, expm1_map)
MAP(log_forward, log_map)
MAP(log1p_forward, log1p_map)
MAP(erf_forward, erf_map)
