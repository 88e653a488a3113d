#define FNN_ISA_NAME avx512
#define FNN_DTYPE_NAME f64
#define FNN_DTYPE FNN_F64
#define FNN_DTYPE_IS_F64 1
#include "../vec/vec_avx512.h"
#include "isa.h"
