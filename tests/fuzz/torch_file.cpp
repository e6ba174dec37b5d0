#include <cstddef>
#include <cstdint>

#include "fuzz/torch_targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  rocket::fuzz::torch_file({reinterpret_cast<const char*>(data), size});
  return 0;
}
