#include "backend/cpu/cpu_backend.h"
#include "backend/threads.h"
#include "kernels/kernels.h"

namespace rocket {

at::Tensor CpuBackend::dropout_mask(const DropoutDraw& draw, std::int64_t features) const {
  const at::Tensor upper_T = draw.upper_T.contiguous(), lower_T = draw.lower_T.contiguous();
  const auto *upper = upper_T.const_data_ptr<std::int64_t>(), *lower = lower_T.const_data_ptr<std::int64_t>();
  at::Tensor kept_TI = at::empty({upper_T.size(0), features}, at::kByte);
  auto* kept = kept_TI.mutable_data_ptr<std::uint8_t>();
  on_row_bands(kept_TI.size(0), features, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      kernels().dropout_mask({draw.key, static_cast<std::uint64_t>(upper[t]) | draw.input,
                              static_cast<std::uint64_t>(lower[t]), draw.threshold},
                             features, kept + t * features);
    }
  });
  return kept_TI;
}

}  // namespace rocket
