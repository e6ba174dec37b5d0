// Attention that a GPU computes in one launch: scaled_dot_product_attention's, and the flash attention that
// only CUDA has.
#include <ATen/ATen.h>
#include <ATen/SDPBackend.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/transformers/attention.h>
#include <torch/library.h>

#include <array>
#include <cmath>
#include <tuple>
#include <vector>

#include "device/arithmetic.h"
#include "device/attention_reference.h"
#include "device/capture.h"
#include "device/counts.h"
#include "device/host_view.h"

namespace rocket::emulated {
namespace {

using Four = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

double scale_or_default(std::optional<double> scale, const at::Tensor& q) {
  return scale.value_or(1 / std::sqrt(static_cast<double>(q.size(-1))));
}

void begin(const char* name, const std::vector<at::Tensor>& tensors) {
  count_operator();
  for (const at::Tensor& x : tensors)
    TORCH_CHECK(!x.defined() || x.device() == tensors[0].device(), name, ": expected all tensors on ",
                tensors[0].device(), ", but one is on ", x.device());
}

// scaled_dot_product_attention, [n, H, M, K]

/// With a first query at the first key where it is causal, and with any bias that can be spread.
Text text_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& bias,
             bool causal, std::optional<double> scale, std::int64_t i) {
  Text text{host_view(q)[i], host_view(k)[i], host_view(v)[i], scale_or_default(scale, q), {}};
  if (causal) text.sight.behind = q.size(2) - k.size(2);
  if (bias.defined())
    text.sight.bias = host_view(bias).expand({q.size(0), q.size(1), q.size(2), k.size(2)})[i];
  return text;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, c10::SymInt, c10::SymInt, at::Tensor, at::Tensor,
           at::Tensor>
fused(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const std::optional<at::Tensor>& bias,
      double dropout, bool causal, bool, std::optional<double> scale) {
  const at::Tensor mask = bias.value_or(at::Tensor());
  refuse_in_capture("scaled_dot_product_attention is called");
  begin("scaled_dot_product_attention", {q, k, v, mask});
  count_launch("scaled_dot_product_attention");
  TORCH_CHECK(dropout == 0, "emulated device: attention with dropout");
  std::vector<at::Tensor> out, log_sums;
  for (std::int64_t i = 0; i < q.size(0); ++i) {
    const Attended one = attend(text_of(q, k, v, mask, causal, scale, i));
    out.push_back(one.out);
    log_sums.push_back(one.log_sum_exp);
  }
  const at::Tensor none = at::empty({0}, q.options().dtype(at::kLong));
  // As from flash attention, heads stand next to each other in memory.
  const at::Tensor stacked = at::stack(out).to(q.scalar_type()).transpose(1, 2).contiguous().transpose(1, 2);
  return {moved_to_device(stacked, q.device()),
          moved_to_device(at::stack(log_sums), q.device()),
          none,
          none,
          q.size(2),
          k.size(2),
          none,
          none,
          none};
}

Four fused_backward(const at::Tensor& dout, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& bias, std::array<bool, 4> wanted, const at::Tensor&, const at::Tensor&,
                    const at::Tensor&, const at::Tensor&, std::int64_t, std::int64_t, double, bool causal,
                    const at::Tensor&, const at::Tensor&, std::optional<double> scale) {
  begin("scaled_dot_product_attention_backward", {dout, q, k, v, bias});
  count_launch("scaled_dot_product_attention_backward");
  std::vector<at::Tensor> dq, dk, dv, dbias;
  for (std::int64_t i = 0; i < q.size(0); ++i) {
    const AttentionGradients one =
        attend_backward(text_of(q, k, v, bias, causal, scale, i), host_view(dout)[i]);
    dq.push_back(one.q);
    dk.push_back(one.k);
    dv.push_back(one.v);
    dbias.push_back(one.bias);
  }
  const auto all = [&](const std::vector<at::Tensor>& parts, const at::Tensor& like, bool asked) {
    return asked ? moved_to_device(at::stack(parts).to(like.scalar_type()), q.device()) : at::Tensor();
  };
  at::Tensor bias_gradient = all(dbias, q, wanted[3] && bias.defined());
  if (bias_gradient.defined()) bias_gradient = bias_gradient.sum_to_size(bias.sizes());
  return {all(dq, q, wanted[0]), all(dk, k, wanted[1]), all(dv, v, wanted[2]), bias_gradient};
}

std::int64_t choose(const at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                    double dropout, bool, std::optional<double>, bool grouped) {
  const bool fits = dropout == 0 && !grouped;
  return static_cast<std::int64_t>(fits ? at::SDPBackend::overrideable : at::SDPBackend::math);
}

// Flash attention: [T, H, K] with cumulative lengths, or [n, M, H, K]

/// Where each text's queries and keys stand.
struct Layout {
  std::vector<std::int64_t> q_first, q_count, k_first, k_count;
};

std::vector<std::int64_t> numbers(const at::Tensor& x) {
  const at::Tensor plain = host_view(x).to(at::kLong).contiguous();
  return {plain.const_data_ptr<std::int64_t>(), plain.const_data_ptr<std::int64_t>() + plain.numel()};
}

void add_texts(const at::Tensor& cumulative, const at::Tensor& x, std::vector<std::int64_t>& first,
               std::vector<std::int64_t>& count, std::int64_t longest, bool ends_count) {
  if (!cumulative.defined()) {
    for (std::int64_t i = 0; i < x.size(0); ++i) {
      first.push_back(i * x.size(1));
      count.push_back(x.size(1));
    }
    return;
  }
  TORCH_CHECK(cumulative.scalar_type() == at::kInt, "flash attention: cumulative lengths are int32");
  const std::vector<std::int64_t> starts = numbers(cumulative);
  TORCH_CHECK(starts.back() <= x.size(0) && (!ends_count || starts.front() == 0),
              "flash attention: cumulative lengths do not fit ", x.sizes());
  for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
    first.push_back(starts[i]);
    count.push_back(starts[i + 1] - starts[i]);
    TORCH_CHECK(!ends_count || (count.back() >= 0 && count.back() <= longest),
                "flash attention: a length of ", count.back(), " where the longest is said to be ", longest);
  }
}

Layout layout_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& cumulative_q,
                 const at::Tensor& cumulative_k, std::int64_t longest_q, std::int64_t longest_k,
                 const at::Tensor& used) {
  TORCH_CHECK(q.dim() == (cumulative_q.defined() ? 3 : 4), "flash attention: queries of ", q.sizes());
  TORCH_CHECK(q.scalar_type() == at::kHalf || q.scalar_type() == at::kBFloat16,
              "flash attention: only float16 and bfloat16, as on a GPU; got ", q.scalar_type());
  TORCH_CHECK(q.size(-2) % k.size(-2) == 0 && q.size(-1) <= 256 && q.size(-1) % 8 == 0,
              "flash attention: heads of ", q.sizes(), " and ", k.sizes());
  Layout layout;
  add_texts(cumulative_q, q, layout.q_first, layout.q_count, longest_q, true);
  // As CUDA's kernels do it: with lengths in use only the starts of the keys matter, and they need not rise.
  add_texts(cumulative_k, k, layout.k_first, layout.k_count, longest_k, !used.defined());
  if (used.defined()) layout.k_count = numbers(used);
  for (const std::int64_t count : layout.k_count)
    TORCH_CHECK(count <= longest_k, "flash attention: ", count, " keys where the most are said to be ",
                longest_k);
  TORCH_CHECK(
      layout.q_first.size() == layout.k_first.size() && layout.k_first.size() == layout.k_count.size(),
      "flash attention: as many texts of queries as of keys");
  return layout;
}

/// Rows of all texts, [T, heads, K].
at::Tensor rows_of(const at::Tensor& x) {
  const at::Tensor host = host_view(x);
  return host.dim() == 4 ? host.flatten(0, 1) : host;
}

struct FlashRule {
  bool causal = false;
  std::optional<std::int64_t> left, right;  // negative: all
  double scale = 1;
};

Text flash_text(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Layout& l, std::size_t i,
                const FlashRule& rule) {
  const auto piece = [](const at::Tensor& x, std::int64_t first, std::int64_t count) {
    return rows_of(x).narrow(0, first, count).transpose(0, 1);
  };
  Text text{piece(q, l.q_first[i], l.q_count[i]),
            piece(k, l.k_first[i], l.k_count[i]),
            piece(v, l.k_first[i], l.k_count[i]),
            rule.scale,
            {}};
  if (rule.left && *rule.left >= 0) text.sight.before = *rule.left;
  if (rule.right && *rule.right >= 0) text.sight.behind = *rule.right;
  if (rule.causal) text.sight.behind = 0;
  return text;
}

/// `products` of queries with keys, or of their weights with values: two forward, five backward. Each reads
/// or writes as many tensors like the queries, and like the keys in use.
Work flash_work(const Layout& layout, const at::Tensor& q, const at::Tensor& k, bool causal,
                std::optional<std::int64_t> left, std::int64_t products) {
  std::int64_t pairs = 0, keys = 0;
  for (std::size_t i = 0; i < layout.q_count.size(); ++i) {
    for (std::int64_t row = 0; row < layout.q_count[i]; ++row) {
      const std::int64_t seen = causal ? layout.k_count[i] - layout.q_count[i] + row + 1 : layout.k_count[i];
      pairs += left && *left >= 0 ? std::min(seen, *left + 1) : seen;
    }
    keys += layout.k_count[i];
  }
  const auto width = static_cast<std::int64_t>(k.itemsize()) * k.size(-1);
  const std::int64_t queries = q.numel() / q.size(-1);
  return {products * (queries + keys * k.size(-2)) * width, 2 * products * pairs * q.size(-2) * q.size(-1)};
}

/// {output like q, logarithms of the sums}
std::vector<at::Tensor> flash_values(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const Layout& layout, const FlashRule& rule) {
  at::Tensor out = at::zeros(rows_of(q).sizes(), at::kFloat),
             log_sums = at::zeros({q.size(-2), out.size(0)}, at::kFloat);
  for (std::size_t i = 0; i < layout.q_first.size(); ++i) {
    if (layout.q_count[i] == 0) continue;
    const Attended one = attend(flash_text(q, k, v, layout, i, rule));
    out.narrow(0, layout.q_first[i], layout.q_count[i]).copy_(one.out.transpose(0, 1));
    log_sums.narrow(1, layout.q_first[i], layout.q_count[i]).copy_(one.log_sum_exp);
  }
  if (q.dim() == 4) log_sums = log_sums.view({q.size(2), q.size(0), q.size(1)}).transpose(0, 1).contiguous();
  return {out.to(q.scalar_type()).view(q.sizes()), log_sums};
}

using Five = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

Five flash(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
           const std::optional<at::Tensor>& cumulative_q, const std::optional<at::Tensor>& cumulative_k,
           std::int64_t longest_q, std::int64_t longest_k, double dropout, bool causal, bool,
           std::optional<double> scale, std::optional<std::int64_t> left, std::optional<std::int64_t> right,
           const std::optional<at::Tensor>& used, const std::optional<at::Tensor>& slopes) {
  const at::Tensor cq = cumulative_q.value_or(at::Tensor()), ck = cumulative_k.value_or(at::Tensor()),
                   lengths = used.value_or(at::Tensor());
  begin("_flash_attention_forward", {q, k, v, cq, ck, lengths});
  TORCH_CHECK(dropout == 0 && !slopes, "emulated device: flash attention with dropout or slopes");
  // Sizes alone: a graph would keep the memory of what it is asked about.
  const auto sizes_of = [](const at::Tensor& x) {
    return at::empty_strided(x.sizes(), x.strides(), x.options().device(at::kMeta));
  };
  const auto layout = [=, qs = sizes_of(q), ks = sizes_of(k)] {
    return layout_of(qs, ks, cq, ck, longest_q, longest_k, lengths);
  };
  const auto work = [=, qs = sizes_of(q), ks = sizes_of(k)] {
    return flash_work(layout(), qs, ks, causal, left, 2);
  };
  if (capturing())
    record_launch("_flash_attention_forward", work);
  else
    count_launch("_flash_attention_forward", work());
  if (arithmetic_is_skipped()) {
    const at::Tensor none = at::empty({0}, q.options());
    return {at::empty_like(q),
            at::empty({q.size(-2), q.numel() / q.size(-1) / q.size(-2)}, q.options().dtype(at::kFloat)), none,
            none, none};
  }
  const FlashRule rule{causal, left, right, scale_or_default(scale, q)};
  // A graph reads the lengths anew.
  const auto results = computed(q.device(), [=] { return flash_values(q, k, v, layout(), rule); });
  const at::Tensor none = at::empty({0}, q.options());
  return {results[0], results[1], none, none, none};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> flash_backward(
    const at::Tensor& dout, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
    const at::Tensor& out, const at::Tensor&, const at::Tensor& cumulative_q, const at::Tensor& cumulative_k,
    std::int64_t longest_q, std::int64_t longest_k, double, bool causal, const at::Tensor&, const at::Tensor&,
    std::optional<double> scale, std::optional<std::int64_t> left, std::optional<std::int64_t> right) {
  begin("_flash_attention_backward", {dout, q, k, v, out, cumulative_q, cumulative_k});
  const Layout layout = layout_of(q, k, cumulative_q, cumulative_k, longest_q, longest_k, {});
  count_launch("_flash_attention_backward", flash_work(layout, q, k, causal, left, 5));
  if (arithmetic_is_skipped()) return {at::empty_like(q), at::empty_like(k), at::empty_like(v)};
  const FlashRule rule{causal, left, right, scale_or_default(scale, q)};
  std::array<at::Tensor, 3> sums;
  const std::array<const at::Tensor*, 3> of{&q, &k, &v};
  for (std::size_t j = 0; j < 3; ++j) sums[j] = at::zeros(rows_of(*of[j]).sizes(), at::kFloat);
  for (std::size_t i = 0; i < layout.q_first.size(); ++i) {
    const std::int64_t rows = layout.q_count[i], keys = layout.k_count[i];
    if (rows == 0 || keys == 0) continue;
    const auto one = attend_backward(flash_text(q, k, v, layout, i, rule),
                                     rows_of(dout).narrow(0, layout.q_first[i], rows).transpose(0, 1));
    sums[0].narrow(0, layout.q_first[i], rows).copy_(one.q.transpose(0, 1));
    sums[1].narrow(0, layout.k_first[i], keys).copy_(one.k.transpose(0, 1));
    sums[2].narrow(0, layout.k_first[i], keys).copy_(one.v.transpose(0, 1));
  }
  const auto back = [&](std::size_t j) {
    return moved_to_device(sums[j].to(of[j]->scalar_type()).view(of[j]->sizes()), q.device());
  };
  return {back(0), back(1), back(2)};
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("_scaled_dot_product_fused_attention_overrideable", fused);
  library.impl("_scaled_dot_product_fused_attention_overrideable_backward", fused_backward);
  library.impl("_flash_attention_forward", flash);
  library.impl("_flash_attention_backward", flash_backward);
}

}  // namespace
}  // namespace rocket::emulated

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(_fused_sdp_choice_stub, &rocket::emulated::choose)
}  // namespace at::native
