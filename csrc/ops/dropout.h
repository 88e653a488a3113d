/* dropout.h — y[i] = scale x[i] + shift where the i-th random word reaches the threshold, else dropped; backward is the same on dy, without the
 * two. Dropout's are -0, which changes no product, and 0.
 *
 * The words are Philox4x32-10's (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011): element i takes word i mod 4
 * of block i / 4, whose counter is (block, stream) and whose key is the seed, each 64 bits in two words. So the mask depends on
 * (seed, stream, i) alone and need not be kept: backward makes it again. The words of 128 elements are made at once in vectors
 * of 64-bit lanes, each holding one 32-bit word of its block's counter (the upper halves are ignored by u_mul and cleared once
 * at the end); then they are compared and applied. */
enum { PHILOX_BLOCKS = 32, PHILOX_WORDS = 4 * PHILOX_BLOCKS };

/* The words of UW blocks, whose 64-bit numbers are `block`: low = words 0 and 1 of each block, high = words 2 and 3. */
FNN_INLINE void philox_blocks(uint64_t *low, uint64_t *high, U block, uint64_t stream, uint64_t seed)
{
    U c0 = block, c1 = u_high(block), c2 = u_set(stream), c3 = u_set(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        U p0 = u_mul(c0, u_set(0xD2511F53u)), p1 = u_mul(c2, u_set(0xCD9E8D57u));
        c0 = u_xor(u_xor(u_high(p1), c1), u_set(k0));
        c2 = u_xor(u_xor(u_high(p0), c3), u_set(k1));
        c1 = p1, c3 = p0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    u_store(low, u_or(u_low(c0), u_raise(c1)));
    u_store(high, u_or(u_low(c2), u_raise(c3)));
}

/* words: PHILOX_WORDS of them, from word 4 `block` on. */
FNN_INLINE void philox_words(uint32_t *words, uint64_t block, uint64_t stream, uint64_t seed)
{
    uint64_t number[PHILOX_BLOCKS], low[PHILOX_BLOCKS], high[PHILOX_BLOCKS];
    for (int i = 0; i < PHILOX_BLOCKS; i++) number[i] = block + (uint64_t)i;
    for (int i = 0; i < PHILOX_BLOCKS; i += UW) philox_blocks(low + i, high + i, u_load(number + i), stream, seed);
    for (int i = 0; i < PHILOX_BLOCKS; i++) {
        words[4 * i] = (uint32_t)low[i], words[4 * i + 1] = (uint32_t)(low[i] >> 32);
        words[4 * i + 2] = (uint32_t)high[i], words[4 * i + 3] = (uint32_t)(high[i] >> 32);
    }
}

/* y may be x. The comparisons are integer, each product and each sum rounds once: plain C, left to the compiler to vectorise. */
KERNEL(dropout, dropout)
{
    uint32_t words[PHILOX_WORDS];
    uint64_t seed = a->state ? a->state[0] : a->seed, stream = a->state ? a->state[1] : a->stream;
    T *y = (T *)a->y, scale = (T)a->scale, shift = (T)a->shift, dropped = (T)a->dropped;
    const T *x = (const T *)a->x;
    size_t i, end;
    fnn_share(a->n, PHILOX_WORDS, part, parts, &i, &end);
    for (; i < end; i += PHILOX_WORDS) {
        size_t n = end - i < PHILOX_WORDS ? end - i : PHILOX_WORDS;
        if (a->threshold > 0xffffffffu) { /* p = 1 */
            for (size_t j = 0; j < n; j++) y[i + j] = dropped;
            continue;
        }
        uint32_t threshold = (uint32_t)a->threshold;
        philox_words(words, i / 4, stream, seed);
        for (size_t j = 0; j < n; j++) {
            T kept = x[i + j] * scale;
            y[i + j] = words[j] >= threshold ? kept + shift : dropped;
        }
    }
}

FNN_INLINE V dropout_kept(V x, V scale, V shift)
{
    return v_add(v_mul(x, scale), shift);
}

/* The same with one word for each channel of `inner` neighbours, which is kept or dropped whole. Shares are channels. */
KERNEL(dropout_channels, dropout_channels)
{
    uint32_t words[PHILOX_WORDS];
    uint64_t seed = a->state ? a->state[0] : a->seed, stream = a->state ? a->state[1] : a->stream;
    size_t i, end, inner = a->inner;
    fnn_share(a->n, 4, part, parts, &i, &end);
    for (; i < end; i += PHILOX_WORDS) {
        size_t n = end - i < PHILOX_WORDS ? end - i : PHILOX_WORDS;
        philox_words(words, i / 4, stream, seed);
        for (size_t c = 0; c < n; c++) {
            T *y = (T *)a->y + (i + c) * inner;
            if (words[c] >= a->threshold) map_span(y, (const T *)a->x + (i + c) * inner, inner, v_set((T)a->scale), v_set((T)a->shift), dropout_kept);
            else for (size_t j = 0; j < inner; j++) y[j] = (T)a->dropped;
        }
    }
}

/* counter[0] += 1, in the first share. */
KERNEL(advance, advance)
{
    (void)parts;
    if (part == 0) ++*a->counter;
}
