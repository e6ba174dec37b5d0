#include <cstddef>
#include <cstdint>

#include "fuzz/formats_targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  rocket::fuzz::sentence_modules({reinterpret_cast<const char*>(data), size});
  return 0;
}
