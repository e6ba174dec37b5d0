#include <cstddef>
#include <cstdint>

#include "fuzz/text_targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  rocket::fuzz::tokenizer_config({reinterpret_cast<const char*>(data), size});
  return 0;
}
