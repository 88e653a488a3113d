#define FNN_ISA_NAME neon
#define FNN_DTYPE_NAME f64
#define FNN_DTYPE FNN_F64
#define FNN_DTYPE_IS_F64 1
#include "../vec/vec_neon.h"
#include "isa.h"
