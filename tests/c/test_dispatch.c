/* Every slot of the kernel table is filled for every usable instruction set, by that set, and each set has its own kernels. */
#include "check.h"
#include "fnn.h"

#include <string.h>

#define SLOTS (sizeof(fnn_table) / sizeof(fnn_kernel))

int main(void)
{
    static fnn_kernel seen[FNN_ISAS][SLOTS];
    int usable = 0;
    CHECK(fnn_isa_usable(FNN_SCALAR));
    CHECK(fnn_isa_usable(fnn_isa_best()));
    for (int isa = 0; isa < FNN_ISAS; isa++) {
        CHECK(strlen(fnn_isa_name((fnn_isa)isa)) > 0);
        if (!fnn_isa_usable((fnn_isa)isa))
            continue;
        CHECK(fnn_isa_best() >= (fnn_isa)isa);
        memset(&fnn_kernels, 0, sizeof fnn_kernels);
        fnn_dispatch((fnn_isa)isa);
        CHECK(fnn_current_isa == (fnn_isa)isa);
        memcpy(seen[isa], &fnn_kernels, sizeof fnn_kernels);
        for (size_t i = 0; i < SLOTS; i++) {
            CHECK(seen[isa][i] != NULL);
            for (int below = 0; below < isa; below++)
                CHECK(seen[isa][i] != seen[below][i]);
        }
        usable++;
    }
#if defined(__aarch64__)
    CHECK(usable == 2 && fnn_isa_best() == FNN_NEON);
#endif

    /* a lower level can be forced after a higher one */
    fnn_dispatch(fnn_isa_best());
    fnn_dispatch(FNN_SCALAR);
    CHECK(memcmp(seen[FNN_SCALAR], &fnn_kernels, sizeof fnn_kernels) == 0);

    /* the kernels of the table do run, in both dtypes */
    fnn_dispatch(fnn_isa_best());
    float x[3] = {-1, 0, 2}, y[3];
    double xd[3] = {-1, 0, 2}, yd[3];
    fnn_map_args a = {y, x, 3, 0, 0}, ad = {yd, xd, 3, 0, 0};
    CHECK(fnn_run(fnn_kernels.relu_forward[FNN_F32], &a, 1) == 0 && y[0] == 0 && y[2] == 2);
    CHECK(fnn_run(fnn_kernels.relu_forward[FNN_F64], &ad, 1) == 0 && yd[0] == 0 && yd[2] == 2);
    return failures != 0;
}
