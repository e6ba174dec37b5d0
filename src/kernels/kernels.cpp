#include "kernels/kernels.h"

#include <string_view>

namespace rocket {

extern const Kernels kernels_portable;
#if defined(__x86_64__)
extern const Kernels kernels_avx2, kernels_avx512, kernels_avx512_bf16;
#endif

namespace {

bool runs_here(std::string_view name) {
#if defined(__x86_64__)
  if (name == "avx2") return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (name == "avx512_bf16") return runs_here("avx512") && __builtin_cpu_supports("avx512bf16");
  if (name == "avx512") {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
#endif
  return name == "portable";
}

}  // namespace

const Kernels* kernels_named(const char* name) {
  if (!runs_here(name)) return nullptr;
#if defined(__x86_64__)
  if (std::string_view(name) == "avx512_bf16") return &kernels_avx512_bf16;
  if (std::string_view(name) == "avx512") return &kernels_avx512;
  if (std::string_view(name) == "avx2") return &kernels_avx2;
#endif
  return &kernels_portable;
}

const Kernels& kernels() {
  static const Kernels* const best = [] {
    for (const char* name : {"avx512_bf16", "avx512", "avx2"}) {
      if (const Kernels* found = kernels_named(name)) return found;
    }
    return &kernels_portable;
  }();
  return *best;
}

std::int64_t packed_size(std::int64_t columns, std::int64_t inner) {
  return whole_panels(columns) * inner + kReadAhead;
}

std::int64_t attention_scratch(std::int64_t positions) {
  return kAttentionRows * whole_panels(positions);
}

std::int64_t attention_gradient_scratch(std::int64_t length, std::int64_t dim) {
  return kAttentionRows * (4 * whole_panels(length) + 2 * dim) + 2 * kReadAhead;
}

}  // namespace rocket
