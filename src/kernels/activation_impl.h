// The activations of feed-forward layers beside silu, with and without a gate, and LayerNorm with its
// gradient.
#pragma once

#include "kernels/encoder_impl.h"

namespace rocket {
namespace {

template <Vector (*activation)(Vector)>
void activate(float* gate, const float* up, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const Vector y = activation(load_at(gate, i, count));
    store_at(gate, i, count, up != nullptr ? y * load_at(up, i, count) : y);
  }
}

/// An activation is x times a share of it; this is the share, and its derivative.
struct Share {
  Vector value, slope;
};

/// The normal distribution's function and its density.
inline Share gelu_share(Vector x) {
  const Vector density = exponential(x * x * -0.5f) * 0.39894228f;
  // x Phi(x) loses Phi(0).
  const Vector tiny = same(1e-6f), at = x < 0.0f ? (x > -tiny ? -tiny : x) : (x < tiny ? tiny : x);
  return {gelu_of(at) / at, density};
}

inline Share gelu_tanh_share(Vector x) {
  const Vector share = 1.0f / (exponential((x + x * x * x * 0.044715f) * -1.59576912f) + 1.0f);
  return {share, share * (1.0f - share) * (x * x * (3 * 0.044715f) + 1.0f) * 1.59576912f};
}

template <Share (*share_of)(Vector)>
void activate_backward(const float* gate, const float* up, const float* dy, std::int64_t count, float* dgate,
                       float* dup) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const Vector g = load_at(gate, i, count), d = load_at(dy, i, count);
    const Share share = share_of(g);
    if (up != nullptr) store_at(dup, i, count, d * g * share.value);
    const Vector slope = share.value + g * share.slope;
    store_at(dgate, i, count, up != nullptr ? d * load_at(up, i, count) * slope : d * slope);
  }
}

/// The mean of a row and 1 / its deviation.
struct Spread {
  float mean = 0, scale = 0;
};

inline Spread spread_of(const float* x, float eps, std::int64_t width) {
  Vector total{}, squares{};
  for (std::int64_t i = 0; i < width; i += kLanes) total += load_at(x, i, width);
  const float count = static_cast<float>(width), mean = sum(total) / count;
  for (std::int64_t i = 0; i < width; i += kLanes) {
    const Vector rest = i + kLanes <= width ? load(x + i) : load_some(x + i, width - i, mean);
    squares += (rest - mean) * (rest - mean);
  }
  return {mean, 1.0f / __builtin_sqrtf(sum(squares) / count + eps)};
}

void layer_norm(const float* x, const float* weight, const float* shift, float eps, std::int64_t width,
                float* out) {
  const Spread of = spread_of(x, eps, width);
  for (std::int64_t i = 0; i < width; i += kLanes) {
    const Vector unit = (load_at(x, i, width) - of.mean) * of.scale;
    store_at(out, i, width, unit * load_at(weight, i, width) + load_at(shift, i, width));
  }
}

void layer_norm_backward(const float* x, const float* weight, const float* dy, float eps, std::int64_t width,
                         float* dx) {
  const Spread of = spread_of(x, eps, width);
  const auto unit = [&](std::int64_t i) { return (load_at(x, i, width) - of.mean) * of.scale; };
  const auto direct = [&](std::int64_t i) { return load_at(dy, i, width) * load_at(weight, i, width); };
  Vector total{}, products{};
  for (std::int64_t i = 0; i < width; i += kLanes) {
    total += direct(i);
    products += direct(i) * unit(i);
  }
  const float count = static_cast<float>(width), mean = sum(total) / count, pull = sum(products) / count;
  for (std::int64_t i = 0; i < width; i += kLanes)
    store_at(dx, i, width, (direct(i) - mean - unit(i) * pull) * of.scale);
}

}  // namespace
}  // namespace rocket
