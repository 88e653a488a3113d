/* ctc.h — connectionist temporal classification: the negative logarithm of the probability that a path through log_probs spells the target.
 *
 * A target of S labels has 2 S + 1 states: its labels in turn, with blanks before, between and behind them. From step to step a path stays, goes to
 * the next state, or leaves out a blank between two different labels. With e[t][s] = log_probs[t][n][class of s],
 *
 *     alpha[t][s] = e[t][s] + log(exp(alpha[t-1][s]) + exp(alpha[t-1][s-1]) + exp(alpha[t-1][s-2]) where the blank s-1 may be left out)
 *     beta[t][s]  = the mirror image, from the last step backwards, without e[t][s]
 *     nll = -log(exp(alpha[last][2 S]) + exp(alpha[last][2 S - 1]))
 *     dlog_probs[t][n][c] = dy (exp(log_probs[t][n][c]) - sum over the states s of class c of exp(alpha[t][s] + beta[t][s] + nll))
 *
 * The last line is the gradient with respect to the logits before a log_softmax; PyTorch gives it as that of log_probs too, and going through
 * log_softmax's backward does not change it. Steps from input_lengths[n] on have gradient 0.
 *
 * alpha and beta start from one state with logarithm 0, in step -1 and in step `last` + 1: the recursion does the rest, for no steps or labels too.
 * Vectors run over the states, shares over the batch. The sum over states goes upwards. Rows of states have -inf around them, so no vector
 * needs a special case; alpha is kept for backward, sequence by sequence, each (steps, 2 S + 1) of its padded or own length. */
enum { CTC_PAD = 2, CTC_SPARE = 64 };

/* One sequence and its working rows, each of 2 S + 1 states with CTC_PAD elements before and as many as a vector needs behind. */
typedef struct Path {
    T *row, *next, *emission, *skip;
    const int64_t *labels;
    size_t count, states, blank, work;
} Path;

/* log(exp(a) + exp(b) + exp(c)) = top + log(1 + exp(low - top) + exp(middle - top)) */
FNN_INLINE V log_sum_exp(V a, V b, V c)
{
    V high = v_max(a, b), low = v_min(a, b), top = v_max(high, c), middle = v_min(high, c), all = v_add(v_add(a, b), c);
    M none = v_eq(top, v_set(-(T)INFINITY));
    V base = v_select(none, v_zero(), top), rest = v_add(v_exp(v_sub(low, base)), v_exp(v_sub(middle, base)));
    V y = v_select(none, top, v_add(base, v_log(v_add(v_set(1), rest))));
    return v_select(v_isnan(all), all, y);
}

/* The sequence's rows in scratch memory of 4 rooms; the path stands at the state `start`, before its first step. */
FNN_SHARED void path_begin(Path *p, T *scratch, size_t room, const int64_t *labels, size_t count, size_t start)
{
    p->labels = labels, p->count = count, p->states = 2 * count + 1;
    p->row = scratch + CTC_PAD, p->next = p->row + room, p->skip = p->next + room, p->emission = p->skip + room;
    for (size_t i = 0; i < 3 * room; i++) scratch[i] = -(T)INFINITY;
    memset(scratch + 3 * room, 0, room * sizeof(T));
    for (size_t i = 1; i < count; i++)
        if (labels[i] != labels[i - 1]) p->skip[2 * i + 1] = 0;
    p->row[start] = 0;
}

FNN_SHARED void path_emit(Path *p, const T *x)
{
    T blank = x[p->blank];
    for (size_t i = 0; i < p->count; i++) p->emission[2 * i] = blank, p->emission[2 * i + 1] = x[p->labels[i]];
    p->emission[2 * p->count] = blank;
}

/* One step: row = the alphas behind it, which go to alpha, too. */
FNN_SHARED void path_forward(Path *p, T *alpha)
{
    T *row = p->next;
    for (size_t s = 0; s < p->states; s += W) {
        const T *x = p->row + s;
        V y = log_sum_exp(v_load(x), v_load(x - 1), v_add(v_load(x - 2), v_load(p->skip + s)));
        y = v_add(y, v_load(p->emission + s));
        v_store(row + s, y), store_upto(alpha + s, y, p->states - s);
    }
    p->next = p->row, p->row = row;
}

/* One step back: row = the betas before it, with its emissions; next = each state's probability in this step. */
FNN_SHARED void path_backward(Path *p, const T *alpha, V nll)
{
    T *row = p->next, *probability = p->row;
    for (size_t s = 0; s < p->states; s += W) {
        const T *x = p->row + s;
        V y = log_sum_exp(v_load(x), v_load(x + 1), v_add(v_load(x + 2), v_load(p->skip + s + 2)));
        v_store(row + s, v_add(y, v_load(p->emission + s)));
        store_upto(probability + s, v_exp(v_add(v_add(load_upto(alpha + s, p->states - s), y), nll)), p->states - s);
    }
    p->next = probability, p->row = row;
}

/* Whether to give up; asked after so much work. */
static int path_interrupted(Path *p, size_t work)
{
    p->work += work;
    if (p->work < LANE_BLOCK * 16) return 0;
    p->work = 0;
    return fnn_interrupted();
}

/* The elements of targets before sequence n's: padded to so many each, or (0) one target behind the other. */
static size_t labels_before(const int64_t *lengths, size_t padded, size_t n)
{
    size_t sum = n * padded;
    for (size_t i = 0; i < n && !padded; i++) sum += (size_t)lengths[i];
    return sum;
}

KERNEL(ctc_loss_forward, ctc)
{
    size_t n, end, stride = a->batch * a->classes;
    const int64_t *targets = (const int64_t *)a->targets, *lengths = (const int64_t *)a->target_lengths;
    T *scratch = (T *)a->scratch + part * 4 * a->room, *nll = (T *)a->nll;
    Path p = {.blank = a->blank};
    fnn_share(a->batch, 1, part, parts, &n, &end);
    for (size_t first = labels_before(lengths, a->padded, n); n < end; n++) {
        size_t count = (size_t)lengths[n], width = a->padded ? a->padded : count, steps = (size_t)((const int64_t *)a->input_lengths)[n];
        const T *x = (const T *)a->log_probs + n * a->classes;
        T *alpha = (T *)a->alpha + a->steps * (2 * first + n);
        path_begin(&p, scratch, a->room, targets + first, count, 0);
        for (size_t t = 0; t < steps; t++, x += stride, alpha += 2 * width + 1) {
            path_emit(&p, x);
            path_forward(&p, alpha);
            if (path_interrupted(&p, p.states)) return;
        }
        const T *last = p.row + p.states - 1;
        v_store_n(nll + n, v_sub(v_zero(), log_sum_exp(v_set(last[0]), v_set(last[-1]), v_set(-(T)INFINITY))), 1);
        T loss = a->zero_infinity && isinf(nll[n]) ? 0 : nll[n];
        ((T *)a->losses)[n] = a->mean && count ? loss / (T)count : loss;
        first += width;
    }
    if (parts == 1) add_chunks((T *)a->value, (const T *)a->losses, NULL, a->batch, a->divisor);
}

/* dx[c] = dy (exp(x[c]) - the probability of being at c in this step), p->next having those of the states. */
static void ctc_gradient(T *dx, const T *x, const Path *p, size_t classes, V dy)
{
    memset(dx, 0, classes * sizeof(T));
    for (size_t s = 0; s < p->states; s++) dx[s % 2 ? (size_t)p->labels[s / 2] : p->blank] += p->next[s];
    for (size_t c = 0; c < classes; c += W)
        store_upto(dx + c, v_mul(dy, v_sub(v_exp(load_upto(x + c, classes - c)), load_upto(dx + c, classes - c))), classes - c);
}

KERNEL(ctc_loss_backward, ctc_backward)
{
    size_t n, end, classes = a->classes, stride = a->batch * classes;
    const int64_t *targets = (const int64_t *)a->targets, *lengths = (const int64_t *)a->target_lengths;
    T *scratch = (T *)a->scratch + part * 4 * a->room;
    Path p = {.blank = a->blank};
    fnn_share(a->batch, 1, part, parts, &n, &end);
    for (size_t first = labels_before(lengths, a->padded, n); n < end; n++) {
        size_t count = (size_t)lengths[n], width = a->padded ? a->padded : count, steps = (size_t)((const int64_t *)a->input_lengths)[n];
        const T *x = (const T *)a->log_probs + n * classes, *alpha = (const T *)a->alpha + a->steps * (2 * first + n);
        T *dx = (T *)a->dlog_probs + n * classes, nll = ((const T *)a->nll)[n];
        T dy = a->dy ? ((const T *)a->dy)[n] : (T)a->scale;
        int impossible = isinf(nll);
        if (a->mean && count) dy /= (T)count;
        if (impossible && a->zero_infinity) steps = 0;
        for (size_t t = steps; t < a->steps; t++) memset(dx + t * stride, 0, classes * sizeof(T));
        path_begin(&p, scratch, a->room, targets + first, count, 2 * count);
        for (size_t t = steps; t-- > 0;) {
            path_emit(&p, x + t * stride);
            path_backward(&p, alpha + t * (2 * width + 1), v_set(nll));
            ctc_gradient(dx + t * stride, x + t * stride, &p, classes, v_set(impossible ? (T)NAN : dy));
            if (path_interrupted(&p, p.states + classes)) return;
        }
        first += width;
    }
}

/* *bad, counted from 1: the first input length that is not from 0 to `steps`; batch further, the first target length that is below 0 or more than
 * its padded length, or the labels that are left; 2 batch further, the first label that is no class or the blank, or `size` where labels remain. */
KERNEL(check_ctc, ctc_check)
{
    const int64_t *targets = (const int64_t *)a->targets, *steps = (const int64_t *)a->input_lengths, *lengths = (const int64_t *)a->target_lengths;
    size_t first = 0, batch = a->batch;
    (void)part, (void)parts;
    *a->bad = 0;
    for (size_t n = 0; n < batch && !*a->bad; n++) {
        if ((uint64_t)steps[n] > a->steps) {
            *a->bad = (int64_t)(n + 1);
        } else if ((uint64_t)lengths[n] > (a->concatenated ? a->size - first : a->padded)) {
            *a->bad = (int64_t)(batch + n + 1);
        } else {
            for (size_t i = first; i < first + (size_t)lengths[n] && !*a->bad; i++)
                if ((uint64_t)targets[i] >= a->classes || (size_t)targets[i] == a->blank) *a->bad = (int64_t)(2 * batch + i + 1);
            first += a->concatenated ? (size_t)lengths[n] : a->padded;
        }
    }
    if (!*a->bad && first != a->size) *a->bad = (int64_t)(2 * batch + a->size + 1);
}
