#define ROCKET_VECTOR_BYTES 64
#include "kernels/table_impl.h"

namespace rocket {

extern const Kernels kernels_avx512;
const Kernels kernels_avx512 = table_named("avx512");

}  // namespace rocket
