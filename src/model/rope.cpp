#include "model/rope.h"

#include <cmath>

namespace rocket {

RopeTable::RopeTable(const DecoderConfig& config, const WeightPlace& place) {
  const std::int64_t half = config.head_dim / 2;
  cos_PK = at::empty({config.max_positions, half}, at::kFloat);
  sin_PK = at::empty({config.max_positions, half}, at::kFloat);
  auto* cos = cos_PK.mutable_data_ptr<float>();
  auto* sin = sin_PK.mutable_data_ptr<float>();
  const auto base = static_cast<float>(config.rope_theta);
  for (std::int64_t i = 0; i < half; ++i) {
    // float32 in every step, as transformers computes the angle.
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(config.head_dim);
    const float frequency = 1.0f / std::pow(base, exponent);
    for (std::int64_t p = 0; p < config.max_positions; ++p) {
      const float angle = static_cast<float>(p) * frequency;
      cos[p * half + i] = std::cos(angle);
      sin[p * half + i] = std::sin(angle);
    }
  }
  cos_PK = cos_PK.to(place.device, place.dtype);
  sin_PK = sin_PK.to(place.device, place.dtype);
}

Rotation RopeTable::rows(const at::Tensor& positions_T) const {
  return {cos_PK.index_select(0, positions_T).unsqueeze(1), sin_PK.index_select(0, positions_T).unsqueeze(1)};
}

at::Tensor rotate(const at::Tensor& x_THK, const Rotation& rotation) {
  const std::int64_t half = x_THK.size(2) / 2;
  const at::Tensor first = x_THK.narrow(2, 0, half), second = x_THK.narrow(2, half, half);
  return at::cat({first * rotation.cos - second * rotation.sin, second * rotation.cos + first * rotation.sin},
                 2);
}

}  // namespace rocket
