/* peak.h — the processor's multiply-add peak, the measure of the matrix product's speed.
 *
 * Each of the n iterations does 12 independent vector multiply-adds, 24 TILE_LANES floating-point operations; 12 chains cover the
 * latency (4 or 5 cycles) of two units. The sum of the chains goes to out[0 … TILE_LANES) so that nothing is left away. */
KERNEL(fma_peak, peak)
{
    tile_vec sum[12];
    const tile_vec x = tile_set1((tile_real)0.999), y = tile_set1((tile_real)0.001);
    (void)part, (void)parts;
    TILE_UNROLL for (int i = 0; i < 12; ++i)
        sum[i] = tile_set1((tile_real)i);
    for (size_t n = a->n; n > 0; --n)
        TILE_UNROLL for (int i = 0; i < 12; ++i)
            sum[i] = tile_fma(sum[i], x, y);
    for (int i = 1; i < 12; ++i)
        sum[0] = tile_add(sum[0], sum[i]);
    tile_store((tile_real *)a->out, sum[0]);
}
