#include "model/finite.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace rocket {
namespace {

/// Place of the first value that is not finite, row-major.
std::int64_t first_bad(const at::Tensor& flat) {
  constexpr std::int64_t kAtOnce = 1 << 20;
  for (std::int64_t first = 0; first < flat.numel(); first += kAtOnce) {
    const at::Tensor bad =
        flat.narrow(0, first, std::min(kAtOnce, flat.numel() - first)).isfinite().logical_not();
    if (bad.any().item<bool>()) return first + bad.to(at::kByte).argmax().item<std::int64_t>();
  }
  return 0;
}

std::vector<std::int64_t> index_of(std::int64_t place, at::IntArrayRef sizes) {
  std::vector<std::int64_t> index(sizes.size());
  for (std::size_t i = sizes.size(); i-- > 0; place /= sizes[i]) index[i] = place % sizes[i];
  return index;
}

}  // namespace

void require_finite(const at::Tensor& values, const std::string& name) {
  if (values.numel() == 0 || values.is_meta() || !values.is_floating_point()) return;
  const auto [least, most] = at::aminmax(values);  // NaN where one is; without the temporaries of isfinite()
  if (std::isfinite(least.item<double>()) && std::isfinite(most.item<double>())) return;
  const at::Tensor flat = values.flatten();
  const std::int64_t place = first_bad(flat);
  fail_data("tensor '{}': holds a value that is not finite ({} at [{}])", name, flat[place].item<double>(),
            fmt::join(index_of(place, values.sizes()), ", "));
}

}  // namespace rocket
