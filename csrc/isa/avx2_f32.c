#define FNN_ISA_NAME avx2
#define FNN_DTYPE_NAME f32
#define FNN_DTYPE FNN_F32
#define FNN_DTYPE_IS_F32 1
#include "../vec/vec_avx2.h"
#include "isa.h"
