#define FNN_ISA_NAME scalar
#define FNN_DTYPE_NAME f64
#define FNN_DTYPE FNN_F64
#define FNN_DTYPE_IS_F64 1
#include "../vec/vec_scalar.h"
#include "isa.h"
