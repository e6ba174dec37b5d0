// Attention as its definition says, in float32 on the host.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>

namespace rocket::emulated {

/// Which keys the queries of one text see. Its last query stands at its last key, as in flash attention.
struct Sight {
  std::optional<std::int64_t> before,
      behind;       // so many keys in front of a query's own place, and behind it; else all
  at::Tensor bias;  // added to the products, [H, M, N] or what spreads to it; or undefined
};

/// Queries [H, M, K] on keys and values [G, N, K]; query head h reads key head h / (H / G).
struct Text {
  at::Tensor q, k, v;
  double scale = 1;
  Sight sight;
};

struct Attended {
  at::Tensor out;          // [H, M, K] float32
  at::Tensor log_sum_exp;  // [H, M]
};

/// A query that sees no key gives zeros.
Attended attend(const Text& text);

struct AttentionGradients {
  at::Tensor q, k, v;  // as those, float32
  at::Tensor bias;     // [H, M, N]
};

AttentionGradients attend_backward(const Text& text, const at::Tensor& out_gradient);

}  // namespace rocket::emulated
