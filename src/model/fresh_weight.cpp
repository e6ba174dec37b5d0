#include "model/fresh_weight.h"

#include <cmath>

#include "base/random.h"

namespace rocket {

at::Tensor fresh_weight(std::int64_t rows, std::int64_t inputs, std::uint64_t seed, const std::string& name) {
  const double bound = 1 / std::sqrt(static_cast<double>(inputs));
  const std::uint64_t draws = stream(name);
  at::Tensor weight = at::empty({rows, inputs}, at::kFloat);
  float* value = weight.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < weight.numel(); ++i)
    value[i] = static_cast<float>((2 * uniform(seed, draws, static_cast<std::uint64_t>(i)) - 1) * bound);
  return weight;
}

}  // namespace rocket
