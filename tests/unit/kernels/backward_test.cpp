// Gradients of the kernels against differences of the functions themselves, computed in float64.
#include <cmath>
#include <functional>
#include <numbers>

#include "base/random.h"
#include "support.h"

namespace rocket {
namespace {

using test::Floats;
using test::random_floats;
using Doubles = std::vector<double>;

class BackwardTest : public test::EachSetTest {};

INSTANTIATE_TEST_SUITE_P(Sets, BackwardTest, test::kEverySet,
                         [](const auto& info) { return std::string(info.param); });

Doubles wide(const Floats& x) {
  return {x.begin(), x.end()};
}

/// Derivatives of f at x by differences.
Doubles derivatives(const Doubles& x, const std::function<double(const Doubles&)>& f) {
  constexpr double step = 1e-5;
  Doubles result(x.size()), moved = x;
  for (std::size_t i = 0; i < x.size(); ++i) {
    moved[i] = x[i] + step;
    const double above = f(moved);
    moved[i] = x[i] - step;
    result[i] = (above - f(moved)) / (2 * step);
    moved[i] = x[i];
  }
  return result;
}

void expect_near(const Floats& got, const Doubles& expected, double bound) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], bound) << i;
}

TEST_P(BackwardTest, RmsNorm) {
  for (const std::int64_t width : {3, 16, 37, 128}) {
    const Floats x = random_floats(width, 1), w = random_floats(width, 2), dy = random_floats(width, 3);
    Floats dx(x.size());
    k->rms_norm_backward(x.data(), w.data(), dy.data(), 1e-5f, width, dx.data());
    expect_near(dx,
                derivatives(wide(x),
                            [&](const Doubles& v) {
                              double squares = 0, sum = 0;
                              for (const double e : v) squares += e * e;
                              const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + 1e-5);
                              for (std::size_t i = 0; i < v.size(); ++i) sum += dy[i] * w[i] * v[i] * scale;
                              return sum;
                            }),
                2e-5);
  }
}

TEST_P(BackwardTest, LayerNorm) {
  for (const std::int64_t width : {3, 16, 37, 128}) {
    const Floats x = random_floats(width, 1), w = random_floats(width, 2), dy = random_floats(width, 3);
    Floats dx(x.size());
    k->layer_norm_backward(x.data(), w.data(), dy.data(), 1e-5f, width, dx.data());
    expect_near(dx,
                derivatives(wide(x),
                            [&](const Doubles& v) {
                              double mean = 0, squares = 0, sum = 0;
                              for (const double e : v) mean += e / static_cast<double>(width);
                              for (const double e : v) squares += (e - mean) * (e - mean);
                              const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + 1e-5);
                              for (std::size_t i = 0; i < v.size(); ++i)
                                sum += dy[i] * w[i] * (v[i] - mean) * scale;
                              return sum;
                            }),
                5e-5);
  }
}

double silu(double x) {
  return x / (1 + std::exp(-x));
}

double gelu(double x) {
  return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
}

double gelu_tanh(double x) {
  return x / (1 + std::exp(-2 * std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

TEST_P(BackwardTest, Activations) {
  const std::int64_t width = 45;
  Floats gate = random_floats(width, 1, 4);
  gate[3] = 0;
  const Floats up = random_floats(width, 2), dy = random_floats(width, 3);
  for (const auto& [kernel, function] :
       {std::pair{k->silu, &silu}, std::pair{k->gelu, &gelu}, std::pair{k->gelu_tanh, &gelu_tanh}}) {
    const auto sum_of = [&, f = function](const Doubles& g, const Doubles& u) {
      double sum = 0;
      for (std::size_t i = 0; i < g.size(); ++i) sum += dy[i] * u[i] * f(g[i]);
      return sum;
    };
    const Doubles g64 = wide(gate), u64 = wide(up), ones(up.size(), 1.0);
    Floats dgate(gate.size()), dup(up.size());
    kernel.backward(gate.data(), up.data(), dy.data(), width, dgate.data(), dup.data());
    expect_near(dgate, derivatives(g64, [&](const Doubles& v) { return sum_of(v, u64); }), 2e-5);
    expect_near(dup, derivatives(u64, [&](const Doubles& v) { return sum_of(g64, v); }), 2e-5);
    if (function == &silu) continue;  // there is no family with silu and without a gate
    kernel.backward(gate.data(), nullptr, dy.data(), width, dgate.data(), nullptr);
    expect_near(dgate, derivatives(g64, [&](const Doubles& v) { return sum_of(v, ones); }), 2e-5);
  }
}

/// Causal attention of `heads` query heads over one key head, in float64: rows of q, k, v one after the
/// other.
double attention(const Doubles& q, const Doubles& k, const Doubles& v, const Floats& dout, std::int64_t heads,
                 std::int64_t dim, std::int64_t window, bool causal, const Squash& by) {
  const auto length = static_cast<std::int64_t>(k.size()) / dim;
  const auto at = [](const Doubles& x, std::int64_t i) { return x[static_cast<std::size_t>(i)]; };
  double sum = 0;
  for (std::int64_t l = 0; l < length; ++l) {
    for (std::int64_t h = 0; h < heads; ++h) {
      Doubles weight(static_cast<std::size_t>(length), 0);
      double total = 0;
      for (std::int64_t m = 0; m < length; ++m) {
        if ((causal && m > l) || (window > 0 && m <= l - window)) continue;
        double score = 0;
        for (std::int64_t i = 0; i < dim; ++i) score += at(q, (l * heads + h) * dim + i) * at(k, m * dim + i);
        score *= double{by.scale};
        if (by.cap > 0) score = double{by.cap} * std::tanh(score / double{by.cap});
        total += weight[static_cast<std::size_t>(m)] = std::exp(score);
      }
      for (std::int64_t m = 0; m < length; ++m) {
        for (std::int64_t i = 0; i < dim; ++i)
          sum += at(weight, m) / total * at(v, m * dim + i) *
                 dout[static_cast<std::size_t>((l * heads + h) * dim + i)];
      }
    }
  }
  return sum;
}

struct AttentionCase {
  std::int64_t length, heads, dim, window;
  bool causal;
  Squash scores = {0.5f, 0};
};

TEST_P(BackwardTest, Attention) {
  for (const auto& c : std::vector<AttentionCase>{{1, 1, 4, 0, true},
                                                  {7, 2, 5, 0, true},
                                                  {30, 1, 6, 0, true},
                                                  {30, 2, 4, 5, true},
                                                  {27, 1, 4, 0, false},
                                                  {30, 2, 4, 5, true, {0.7f, 0.8f}},
                                                  {27, 1, 4, 0, false, {1.5f, 0.3f}}}) {
    const std::int64_t row = c.heads * c.dim;
    const Floats q = random_floats(c.length * row, 1), keys = random_floats(c.length * c.dim, 2),
                 values = random_floats(c.length * c.dim, 3), dout = random_floats(c.length * row, 4);
    Floats packed_keys(static_cast<std::size_t>(whole_panels(c.length) * c.dim + kReadAhead)),
        packed_values = packed_keys;
    for (std::int64_t m = 0; m < c.length; ++m) {
      for (std::int64_t i = 0; i < c.dim; ++i) {
        packed_keys[static_cast<std::size_t>(key_place(m, i, c.dim))] =
            keys[static_cast<std::size_t>(m * c.dim + i)];
        packed_values[static_cast<std::size_t>(key_place(m, i, c.dim))] =
            values[static_cast<std::size_t>(m * c.dim + i)];
      }
    }
    Floats plain = keys, plain_values = values;
    plain.resize(plain.size() + kReadAhead);
    plain_values.resize(plain_values.size() + kReadAhead);
    Floats out(q.size()), dq(q.size()), dk(keys.size()), dv(values.size());
    Floats scratch(static_cast<std::size_t>(attention_gradient_scratch(c.length, c.dim)));
    k->attend({c.length, 0, c.heads, c.dim, c.window, c.causal, c.scores, q.data(), out.data(), row,
               packed_keys.data(), plain_values.data(), c.dim, scratch.data()});
    k->attend_backward({c.length, c.heads, c.dim, c.window, c.causal, c.scores, q.data(), out.data(),
                        dout.data(), dq.data(), row, packed_keys.data(), packed_values.data(), plain.data(),
                        dk.data(), dv.data(), c.dim, scratch.data()});
    const Doubles q64 = wide(q), k64 = wide(keys), v64 = wide(values);
    const auto f = [&](const Doubles& a, const Doubles& b, const Doubles& v) {
      return attention(a, b, v, dout, c.heads, c.dim, c.window, c.causal, c.scores);
    };
    expect_near(dq, derivatives(q64, [&](const Doubles& x) { return f(x, k64, v64); }), 5e-5);
    expect_near(dk, derivatives(k64, [&](const Doubles& x) { return f(q64, x, v64); }), 5e-5);
    expect_near(dv, derivatives(v64, [&](const Doubles& x) { return f(q64, k64, x); }), 5e-5);
  }
}

TEST_P(BackwardTest, APlainRightSideIsPackedRowByRow) {
  const std::int64_t inner = 70, columns = 45;
  const Floats b = random_floats(inner * columns, 1), a = random_floats(3 * inner, 2);
  Floats packed(static_cast<std::size_t>(packed_size(columns, inner))), c(3 * 45);
  k->pack_rows(b.data(), inner, columns, columns, packed.data());
  k->multiply({3,
               inner,
               columns,
               a.data(),
               inner,
               {packed.data(), kPanel, inner * kPanel},
               c.data(),
               columns,
               false});
  for (std::size_t r = 0; r < 3; ++r) {
    for (std::size_t j = 0; j < 45; ++j) {
      double sum = 0;
      for (std::size_t i = 0; i < 70; ++i) sum += static_cast<double>(a[r * 70 + i]) * b[i * 45 + j];
      EXPECT_NEAR(c[r * 45 + j], sum, 1e-4);
    }
  }
}

TEST_P(BackwardTest, DropoutIsPhilox) {
  const std::uint64_t key = 0x123456789abcdef, high = (std::uint64_t{77} << 24) | 5,
                      low = 0xfffffffe;  // carries
  const std::uint32_t threshold = 1u << 30;
  std::vector<std::uint8_t> kept(1003);
  k->dropout_mask({key, high, low, threshold}, 1003, kept.data());
  for (std::size_t i = 0; i < kept.size(); ++i)
    ASSERT_EQ(kept[i], philox(key, high, low + i / 4)[i % 4] >= threshold) << i;
}

}  // namespace
}  // namespace rocket
