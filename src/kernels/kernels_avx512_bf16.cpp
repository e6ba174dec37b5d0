#define ROCKET_VECTOR_BYTES 64
#include "kernels/table_impl.h"

namespace rocket {

extern const Kernels kernels_avx512_bf16;
const Kernels kernels_avx512_bf16 = table_named("avx512_bf16");

}  // namespace rocket
