// Arithmetic on float32 rows on the CPU: matrix products, attention and the small pieces between them;
// products of bfloat16 values with sums in float32; Gram matrices in float64.
//
// Every result is a function of its own row and of the weights alone: each sum runs over its terms in one
// order that neither the other rows of a call, nor their number, nor the number of threads changes. No matrix
// library keeps to that, and the one that LibTorch calls for float32 reaches less than half of what AMD's
// cores can do. All kernels are serial; callers cut the rows or columns and use their own threads.
#pragma once

#include <cstdint>

#include "kernels/gram.h"

namespace rocket {

/// Columns of a packed matrix that lie side by side; packed matrices have a multiple of it, filled with
/// zeros.
inline constexpr std::int64_t kPanel = 32;

/// Where element `i` of the key at position `m` lies in packed keys of `dim` elements: positions are columns.
constexpr std::int64_t key_place(std::int64_t m, std::int64_t i, std::int64_t dim) {
  return (m / kPanel * dim + i) * kPanel + m % kPanel;
}

constexpr std::int64_t whole_panels(std::int64_t columns) {
  return (columns + kPanel - 1) / kPanel * kPanel;
}

/// Rows of attention whose scores are computed together.
inline constexpr std::int64_t kAttentionRows = 24;

/// Right sides of products, attention keys and their rows may be read up to this many floats behind their
/// last column.
inline constexpr std::int64_t kReadAhead = 32;

/// A bfloat16 value: the upper half of a float's bits.
enum class Bfloat16 : std::uint16_t {};
/// Two neighbours in the inner dimension of a product, the first in the lower half. An odd last one stands
/// beside a zero.
enum class Bfloat16Pair : std::uint32_t {};

constexpr std::int64_t pairs_of(std::int64_t values) {
  return (values + 1) / 2;
}

/// The right side of a product: b[k, j] = data[(j / kPanel) * panel_stride + k * row_stride + j % kPanel].
/// Packed: row_stride = kPanel, panel_stride = inner * kPanel. Plain rows [inner, columns]: row_stride =
/// their distance, panel_stride = kPanel.
template <class Unit>
struct RightSideOf {
  const Unit* data = nullptr;
  std::int64_t row_stride = 0, panel_stride = 0;
};

/// c[rows, columns] = a[rows, inner] b (added to c where `add`); strides in elements of their own matrix.
template <class Unit, class Sum>
struct ProductOf {
  std::int64_t rows = 0, inner = 0, columns = 0;
  const Unit* a = nullptr;
  std::int64_t a_stride = 0;
  RightSideOf<Unit> b;
  Sum* c = nullptr;
  std::int64_t c_stride = 0;
  bool add = false;
};

using RightSide = RightSideOf<float>;
using MatrixProduct = ProductOf<float, float>;
/// `inner` counts pairs. Sums are float32; those of a Bfloat16Product are rounded at the end.
using PairProduct = ProductOf<Bfloat16Pair, float>;
using Bfloat16Product = ProductOf<Bfloat16Pair, Bfloat16>;

/// x becomes scale * x, of that cap * tanh(x / cap) where cap is not 0.
struct Squash {
  float scale = 1, cap = 0;
};

/// Attention of the query heads of one key head of one sequence: the last `fresh` of `cached + fresh`
/// positions.
struct HeadAttention {
  std::int64_t fresh = 0, cached = 0, heads = 0, dim = 0;
  std::int64_t window = 0;  // a row sees the keys that are less than this away; 0 = all
  bool causal = true;
  Squash scores;             // of the products of queries and keys
  const float* q = nullptr;  // row l, head h at q + l * row_stride + h * dim
  float* out = nullptr;      // laid out as q
  std::int64_t row_stride = 0;
  const float* keys = nullptr;    // packed: position m, element i at key_place(m, i, dim)
  const float* values = nullptr;  // [positions, dim]
  std::int64_t values_stride = 0;
  float* scratch = nullptr;  // attention_scratch(cached + fresh) floats
};

/// Gradients of the attention of all rows of one sequence, for the query heads of one key head.
struct HeadGradient {
  std::int64_t length = 0, heads = 0, dim = 0;
  std::int64_t window = 0;
  bool causal = true;
  Squash scores;
  const float *q = nullptr, *out = nullptr, *dout = nullptr;  // row l, head h at l * row_stride + h * dim
  float* dq = nullptr;                                        // laid out as q
  std::int64_t row_stride = 0;
  const float *keys = nullptr, *values = nullptr;  // both packed as HeadAttention's keys
  const float* plain_keys = nullptr;               // [length, dim]
  float *dk = nullptr, *dv = nullptr;              // row l at l * key_stride; added to
  std::int64_t key_stride = 0;
  float* scratch = nullptr;  // attention_gradient_scratch(length, dim) floats
};

/// A row whose features are dropped: block i of four features takes Philox counter (counter_high, counter_low
/// + i) under `key`; a word below `threshold` drops its feature.
struct DropoutRow {
  std::uint64_t key = 0, counter_high = 0, counter_low = 0;
  std::uint32_t threshold = 0;
};

/// Which experts a row goes to: the top_k largest p (ties: the lowest), of these the fewest, in order of p,
/// whose sum reaches top_p.
struct RoutingRule {
  std::int64_t top_k = 1;
  float top_p = 1;

  /// Gates sum to 1. With 1 of several they would be constant and leave the router without a gradient: then
  /// the gate is p itself.
  constexpr bool renormalised(std::int64_t experts) const { return top_k > 1 || experts == 1; }
};

/// A row of the experts' inner values: expert e has the columns [first[e], first[e + 1]) and a factor.
struct GatedRow {
  std::int64_t experts = 0;
  const std::int64_t* first = nullptr;
  const float *factors = nullptr, *hidden = nullptr;
};

/// One row's state of a sum over a vocabulary that is looked at chunk by chunk.
struct LogSumExp {
  float most = 0, sum = 0;
};

/// One row's largest logit so far; the lowest index on a tie.
struct Best {
  float value = 0;
  std::int64_t index = -1;
};

/// out = weight * (x - mean(x)) / sqrt(variance(x) + eps) + shift with x = a + b + c, [width]; out may be a.
struct SumNorm {
  const float *a = nullptr, *b = nullptr, *c = nullptr, *weight = nullptr, *shift = nullptr;
  float eps = 0;
  std::int64_t width = 0;
  float* out = nullptr;
};

/// An activation of a feed-forward layer; of a layer without a gate `up` and `dup` are null.
struct ActivationKernels {
  /// gate = activation(gate) * up.
  void (*forward)(float* gate, const float* up, std::int64_t count);
  /// From dy, the gradient of that.
  void (*backward)(const float* gate, const float* up, const float* dy, std::int64_t count, float* dgate,
                   float* dup);
};

struct Kernels {
  const char* name;  // "avx512_bf16", "avx512", "avx2", "portable"
  void (*multiply)(const MatrixProduct& product);
  void (*multiply_pairs)(const PairProduct& product);
  void (*multiply_bfloat16)(const Bfloat16Product& product);
  /// Columns of a row-major [columns, inner] matrix as panels; `packed` holds packed_size(columns, inner)
  /// floats.
  void (*pack)(const float* rows, std::int64_t columns, std::int64_t inner, std::int64_t stride,
               float* packed);
  /// The right side [inner, columns] of a product, whose rows lie `stride` apart, as panels: packed_size().
  void (*pack_rows)(const float* rows, std::int64_t inner, std::int64_t columns, std::int64_t stride,
                    float* packed);
  /// The same for bfloat16 matrices: panels of pairs_of(inner) rows.
  void (*pack_pairs)(const Bfloat16* rows, std::int64_t columns, std::int64_t inner, std::int64_t stride,
                     Bfloat16Pair* packed);
  void (*pack_row_pairs)(const Bfloat16* rows, std::int64_t inner, std::int64_t columns, std::int64_t stride,
                         Bfloat16Pair* packed);
  /// To the nearest, ties to even.
  void (*to_bfloat16)(const float* x, std::int64_t count, Bfloat16* out);
  void (*to_float)(const Bfloat16* x, std::int64_t count, float* out);
  void (*attend)(const HeadAttention& attention);
  void (*attend_backward)(const HeadGradient& gradient);
  /// out = weight * (x / sqrt(mean(x^2) + eps)), [width].
  void (*rms_norm)(const float* x, const float* weight, float eps, std::int64_t width, float* out);
  /// dx from dy, the gradient of rms_norm's out.
  void (*rms_norm_backward)(const float* x, const float* weight, const float* dy, float eps,
                            std::int64_t width, float* dx);
  /// The same for out = weight * (x - mean(x)) / sqrt(variance(x) + eps) + shift.
  void (*layer_norm)(const float* x, const float* weight, const float* shift, float eps, std::int64_t width,
                     float* out);
  void (*layer_norm_backward)(const float* x, const float* weight, const float* dy, float eps,
                              std::int64_t width, float* dx);
  ActivationKernels silu, gelu, gelu_tanh;  // gelu: with erf, or by tanh; silu needs an `up`
  /// Half rotation of the first 2 * half values of one head in place: pairs (i, i + half).
  void (*rotate)(float* x, const float* cos, const float* sin, std::int64_t half);
  void (*squash)(float* x, std::int64_t count, const Squash& by);
  /// The gradient of x from that of y, in place; y is what squash() left.
  void (*squash_backward)(const float* y, std::int64_t count, const Squash& by, float* gradient);
  /// Takes a chunk of a row's logits into its sum.
  void (*add_logits)(const float* logits, std::int64_t count, LogSumExp& state);
  /// Takes a chunk of a row's logits, the first of which has index `first`, into its largest.
  void (*find_best)(const float* logits, std::int64_t count, std::int64_t first, Best& best);
  /// logits = exp(logits - log_sum).
  void (*probabilities)(float* logits, std::int64_t count, float log_sum);
  /// kept[i] = 1, or 0 where the feature is dropped.
  void (*dropout_mask)(const DropoutRow& row, std::int64_t width, std::uint8_t* kept);
  /// out = x * kept * scale; out may be x.
  void (*drop)(const float* x, const std::uint8_t* kept, float scale, std::int64_t count, float* out);
  /// softmax in float32, then the gates, zero for experts that are not chosen. Returns log(sum(exp(logits))).
  float (*route)(const float* logits, std::int64_t experts, const RoutingRule& rule, float* p, float* gates);
  void (*route_backward)(const float* p, const float* gates, const float* dgates, std::int64_t experts,
                         const RoutingRule& rule, float* dlogits);
  /// out = hidden, each expert's columns times its factor.
  void (*gate)(const GatedRow& row, float* out);
  void (*gate_backward)(const GatedRow& row, const float* dout, float* dhidden, float* dfactors);
  /// Gram matrices in float64, of rows that are kept in either type.
  void (*gram_of_floats)(const GramBlock<float>& block);
  void (*gram_of_doubles)(const GramBlock<double>& block);
  /// LayerNorm of a sum.
  void (*sum_norm)(const SumNorm& norm);
  /// x = gelu(x + bias), with erf or by tanh.
  void (*gelu_of_sum)(float* x, const float* bias, std::int64_t width);
  void (*gelu_tanh_of_sum)(float* x, const float* bias, std::int64_t width);
};

/// The kernels of this machine's instruction set.
const Kernels& kernels();
/// Those of one set by name, null where the machine lacks it: for tests.
const Kernels* kernels_named(const char* name);

/// Floats of a packed [columns, inner] matrix, or pairs of one of 2 * inner, read-ahead included.
std::int64_t packed_size(std::int64_t columns, std::int64_t inner);
/// Floats of scratch for attention over so many positions.
std::int64_t attention_scratch(std::int64_t positions);
/// The same for the gradients of a sequence.
std::int64_t attention_gradient_scratch(std::int64_t length, std::int64_t dim);

}  // namespace rocket
