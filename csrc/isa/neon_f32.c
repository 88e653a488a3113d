#define FNN_ISA_NAME neon
#define FNN_DTYPE_NAME f32
#define FNN_DTYPE FNN_F32
#define FNN_DTYPE_IS_F32 1
#include "../vec/vec_neon.h"
#include "isa.h"
