#define ROCKET_VECTOR_BYTES 16
#include "kernels/table_impl.h"

namespace rocket {

extern const Kernels kernels_portable;
const Kernels kernels_portable = table_named("portable");

}  // namespace rocket
