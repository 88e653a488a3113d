/* fold.h — a batch normalisation with constant statistics, folded into the product before it:
 *
 *   (x W + b - mean) s + shift = x (W s) + ((b - mean) s + shift)      with s = scale / sqrt(var + eps), for each column of W
 *
 * Run once for many products, so plain loops do; all operations are exactly rounded, hence the same on every instruction set. */

FNN_INLINE T fold_factor(const fnn_fold_args *a, size_t j)
{
    const T *var = (const T *)a->var, *scale = (const T *)a->scale;
    T root = (T)sqrt((double)var[j] + a->eps);
    return (scale ? scale[j] : 1) / root;
}

KERNEL(fold_batch_norm, fold)
{
    T *w = (T *)a->w, *b = (T *)a->b;
    const T *from_w = (const T *)a->from_w, *from_b = (const T *)a->from_b, *mean = (const T *)a->mean, *shift = (const T *)a->shift;
    size_t begin, end;
    fnn_share(a->n, 1, part, parts, &begin, &end);
    for (size_t j = begin; j < end; j++) {
        T s = fold_factor(a, j);
        for (size_t i = 0; i < a->k; i++) w[i * a->n + j] = from_w[(ptrdiff_t)i * a->w_row + (ptrdiff_t)j * a->w_col] * s;
        T offset = ((from_b ? from_b[j] : 0) - mean[j]) * s;
        b[j] = offset + (shift ? shift[j] : 0);
    }
}
