#define FNN_ISA_NAME avx2
#define FNN_DTYPE_NAME f64
#define FNN_DTYPE FNN_F64
#define FNN_DTYPE_IS_F64 1
#include "../vec/vec_avx2.h"
#include "isa.h"
