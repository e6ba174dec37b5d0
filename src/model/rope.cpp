#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rocket {
namespace {

// The frequencies are computed by the same operators, in float32 and in the same order, as in transformers
// (modeling_rope_utils.py): the angle of a late position magnifies every rounding.

/// theta ^ (2 i / K), [K / 2].
at::Tensor powers(const at::Scalar& theta, std::int64_t head_dim) {
  return at::pow(theta, at::arange(0, head_dim, 2, at::kFloat) / head_dim);
}

/// High frequencies stay, low ones are slowed down by the factor, those between are blended.
at::Tensor llama3_frequencies(const RopeConfig& rope, const at::Tensor& plain) {
  const auto length = static_cast<double>(rope.original_positions);
  const double low = rope.low_freq_factor, high = rope.high_freq_factor;
  const at::Tensor wavelength = at::reciprocal(plain) * (2 * std::numbers::pi);
  const at::Tensor is_long = wavelength > length / low, is_short = wavelength < length / high;
  const at::Tensor slowed = at::where(is_long, plain / rope.factor, plain);
  const at::Tensor share = (at::reciprocal(wavelength) * length - low) / (high - low);
  const at::Tensor blend = (1 - share) * slowed / rope.factor + share * slowed;
  return at::where(at::logical_not(at::logical_or(is_long, is_short)), blend, slowed);
}

/// The pair of a head that turns so many times within the original length.
double pair_that_turns(double times, const RopeConfig& rope, std::int64_t head_dim) {
  const auto length = static_cast<double>(rope.original_positions);
  return static_cast<double>(head_dim) * std::log(length / (times * 2 * std::numbers::pi)) /
         (2 * std::log(rope.theta));
}

at::Tensor yarn_frequencies(const RopeConfig& rope, std::int64_t head_dim) {
  double low = pair_that_turns(rope.beta_fast, rope, head_dim);
  double high = pair_that_turns(rope.beta_slow, rope, head_dim);
  if (rope.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(head_dim - 1));
  if (low == high) high += 0.001;
  const at::Tensor ramp = at::clamp((at::arange(head_dim / 2, at::kFloat) - low) / (high - low), 0, 1);
  const at::Tensor kept = 1 - ramp, power = powers(rope.theta, head_dim);
  return at::reciprocal(rope.factor * power) * (1 - kept) + at::reciprocal(power) * kept;
}

/// Of a text longer than the model was trained for, in float32 throughout, as the length is a tensor there.
at::Tensor dynamic_frequencies(const RopeConfig& rope, std::int64_t head_dim, std::int64_t length) {
  const at::Tensor stretch =
      at::scalar_tensor(length, at::kLong) * rope.factor / rope.original_positions - (rope.factor - 1);
  const double exponent = static_cast<double>(head_dim) / static_cast<double>(head_dim - 2);
  const at::Tensor theta = at::pow(stretch, exponent) * rope.theta;
  return at::reciprocal(at::pow(theta, at::arange(0, head_dim, 2, at::kFloat) / head_dim));
}

at::Tensor longrope_frequencies(const RopeConfig& rope, std::int64_t head_dim, std::int64_t length) {
  const auto& factors = length > rope.original_positions ? rope.long_factors : rope.short_factors;
  return at::reciprocal(at::tensor(factors, at::kFloat) * powers(rope.theta, head_dim));
}

/// Angle by which a position of a text of this length turns each pair, per position, [K / 2].
at::Tensor frequencies(const RopeConfig& rope, std::int64_t head_dim, std::int64_t length) {
  if (rope.kind == RopeKind::yarn) return yarn_frequencies(rope, head_dim);
  if (rope.kind == RopeKind::longrope) return longrope_frequencies(rope, head_dim, length);
  if (rope.kind == RopeKind::dynamic && length > rope.original_positions)
    return dynamic_frequencies(rope, head_dim, length);
  const at::Tensor plain = at::reciprocal(powers(rope.theta, head_dim));
  if (rope.kind == RopeKind::linear) return plain / rope.factor;
  return rope.kind == RopeKind::llama3 ? llama3_frequencies(rope, plain) : plain;
}

/// cos and sin of rows that are still to be filled, float32 on the CPU.
class Turns {
 public:
  Turns(std::int64_t rows, std::int64_t half, double scale)
      : cos(at::empty({rows, half}, at::kFloat)),
        sin(at::empty({rows, half}, at::kFloat)),
        scale_(static_cast<float>(scale)) {}

  void fill(std::int64_t row, std::int64_t position, const at::Tensor& frequencies_K) {
    const std::int64_t half = frequencies_K.numel();
    const float* frequency = frequencies_K.const_data_ptr<float>();
    float* cosines = cos.mutable_data_ptr<float>() + row * half;
    float* sines = sin.mutable_data_ptr<float>() + row * half;
    for (std::int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(position) * frequency[i];
      cosines[i] = std::cos(angle) * scale_;
      sines[i] = std::sin(angle) * scale_;
    }
  }

  at::Tensor cos, sin;

 private:
  float scale_;
};

}  // namespace

RopeTable::RopeTable(std::int64_t head_dim, std::int64_t max_positions, const RopeConfig& rope,
                     const WeightPlace& place, const Backend& backend)
    : rope_(rope), width_(rope.width > 0 ? rope.width : head_dim), place_(place), backend_(backend) {
  const std::int64_t positions =
      rope_.turns_by_length() ? std::min(rope_.original_positions, max_positions) : max_positions;
  const at::Tensor frequencies_K = frequencies(rope_, width_, positions);
  Turns turns(positions, width_ / 2, rope_.attention_factor);
  for (std::int64_t p = 0; p < positions; ++p) turns.fill(p, p, frequencies_K);
  cos_PK = values(turns.cos);
  sin_PK = values(turns.sin);
}

at::Tensor RopeTable::values(const at::Tensor& x) const {
  return backend_.rotation_values(x, place_.dtype, place_.device);
}

Rotation RopeTable::rows(const PackedRows& rows) const {
  if (rope_.turns_by_length()) {
    const at::Tensor positions_T = rows.positions_T.cpu();
    if (positions_T.numel() > 0 && positions_T.max().item<std::int64_t>() >= rope_.original_positions)
      return rows_by_length(rows, positions_T);
  }
  return {cos_PK.index_select(0, rows.positions_T).unsqueeze(1),
          sin_PK.index_select(0, rows.positions_T).unsqueeze(1)};
}

Rotation RopeTable::rows_by_length(const PackedRows& rows, const at::Tensor& positions_T) const {
  const auto* positions = positions_T.const_data_ptr<std::int64_t>();
  Turns turns(positions_T.numel(), width_ / 2, rope_.attention_factor);
  for (std::size_t s = 0; s + 1 < rows.starts.size(); ++s) {
    if (rows.starts[s] == rows.starts[s + 1]) continue;
    const std::int64_t length = positions[rows.starts[s + 1] - 1] + 1;
    const at::Tensor frequencies_K = frequencies(rope_, width_, length);
    for (std::int64_t row = rows.starts[s]; row < rows.starts[s + 1]; ++row)
      turns.fill(row, positions[row], frequencies_K);
  }
  return {values(turns.cos).unsqueeze(1), values(turns.sin).unsqueeze(1)};
}

}  // namespace rocket
