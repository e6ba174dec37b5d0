#define ROCKET_VECTOR_BYTES 32
#include "kernels/table_impl.h"

namespace rocket {

extern const Kernels kernels_avx2;
const Kernels kernels_avx2 = table_named("avx2");

}  // namespace rocket
