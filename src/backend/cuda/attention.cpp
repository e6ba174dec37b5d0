#include "backend/cuda/attention.h"

#include <c10/core/DeviceGuard.h>

#include <optional>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/steps.h"
#include "backend/torch/kv_cache.h"

namespace rocket {
namespace {

class FlashKvCache final : public RangeKvCache {
 public:
  FlashKvCache(const CacheShape& shape, const GpuSteps* steps) : RangeKvCache(shape), steps_(steps) {}

  StepLaunches step_launches() const override {
    return {.fixed = true, .memory = moves(), .reach = arranged().most_used};
  }

 protected:
  void store(const CachedRows& rows, const at::Tensor& k_TGK, const at::Tensor& v_TGK, at::Tensor& keys_PGK,
             at::Tensor& values_PGK) override {
    if (steps_ == nullptr || !steps_take({k_TGK, v_TGK, keys_PGK}))
      return RangeKvCache::store(rows, k_TGK, v_TGK, keys_PGK, values_PGK);
    const c10::DeviceGuard on_device(k_TGK.device());
    copy_rows(k_TGK, v_TGK, keys_PGK, values_PGK, {}, rows.places_T);
    if (rows.copy_to_F.size(0) > 0)
      copy_rows(keys_PGK, values_PGK, keys_PGK, values_PGK, rows.copy_from_F, rows.copy_to_F);
  }

  /// The kernels read where a range begins and how much of it is in use; its end is not asked for.
  at::Tensor look(const CachedRows& rows, const at::Tensor& q_THK, const at::Tensor& keys_PGK,
                  const at::Tensor& values_PGK, const AttentionRule& rule) override {
    return flash_attention({rows.row_starts, rows.begins, rows.used_S, rows.most_rows, rows.most_used}, q_THK,
                           keys_PGK, values_PGK, rule);
  }

 private:
  void copy_rows(const at::Tensor& k, const at::Tensor& v, at::Tensor& keys, at::Tensor& values,
                 const at::Tensor& from, const at::Tensor& to) const {
    require_launch(
        "keys and values",
        steps_->store_rows({.k = k.const_data_ptr(),
                            .v = v.const_data_ptr(),
                            .keys = keys.mutable_data_ptr(),
                            .values = values.mutable_data_ptr(),
                            .from = from.defined() ? from.const_data_ptr<std::int64_t>() : nullptr,
                            .to = to.const_data_ptr<std::int64_t>(),
                            .rows = to.size(0),
                            .row_bytes = static_cast<std::int64_t>(keys.stride(0) * keys.itemsize())}));
  }

  const GpuSteps* steps_;
};

}  // namespace

bool flash_knows(at::ScalarType type, std::int64_t head_dim) {
  return (type == at::kHalf || type == at::kBFloat16) && head_dim % 8 == 0 && head_dim <= 256;
}

at::Tensor flash_attention(const FlashSequences& sequences, const at::Tensor& q_THK, const at::Tensor& k_PGK,
                           const at::Tensor& v_PGK, const AttentionRule& rule) {
  const std::int64_t near = rule.window > 0 ? rule.window - 1 : -1;
  const std::optional<c10::SymInt> before = near, behind = rule.causal ? 0 : near;
  const std::optional<double> scale = rule.scale > 0 ? std::optional(rule.scale) : std::nullopt;
  const std::optional<at::Tensor> used =
      sequences.used_S.defined() ? std::optional(sequences.used_S) : std::nullopt;
  return std::get<0>(at::_flash_attention_forward_symint(
                         q_THK, k_PGK, v_PGK, sequences.row_starts, sequences.key_starts, sequences.most_rows,
                         sequences.most_keys, /*dropout_p=*/0, rule.causal, /*return_debug_mask=*/false,
                         scale, before, behind, used))
      .flatten(1);
}

at::Tensor CudaBackend::attend(const AttentionRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                               const at::Tensor& v_TGK, const AttentionRule& rule) const {
  if (rule.cap > 0 || !flash_knows(q_THK.scalar_type(), q_THK.size(2)))
    return TorchBackend::attend(rows, q_THK, k_TGK, v_TGK, rule);
  const RowStarts& starts = rows.starts();
  return flash_attention({starts.first_rows, starts.first_rows, {}, starts.most_rows, starts.most_rows},
                         q_THK, k_TGK, v_TGK, rule);
}

std::unique_ptr<KvCache> CudaBackend::make_cache(const CacheShape& shape) const {
  if (shape.capped || !flash_knows(shape.type, shape.head_dim)) return TorchBackend::make_cache(shape);
  return std::make_unique<FlashKvCache>(shape, steps_);
}

}  // namespace rocket
