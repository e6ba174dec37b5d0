#include "backend/cuda/attention.h"

#include <optional>

#include "backend/cuda/cuda_backend.h"
#include "backend/torch/kv_cache.h"

namespace rocket {
namespace {

class FlashKvCache final : public RangeKvCache {
 public:
  using RangeKvCache::RangeKvCache;

 protected:
  /// The kernels read where a range begins and how much of it is in use; its end is not asked for.
  at::Tensor look(const CachedRows& rows, const at::Tensor& q_THK, const at::Tensor& keys_PGK,
                  const at::Tensor& values_PGK, const Mask& mask) override {
    return flash_attention({rows.row_starts, rows.begins, rows.used_S, rows.most_rows, rows.most_used}, q_THK,
                           keys_PGK, values_PGK, mask);
  }
};

}  // namespace

bool flash_knows(at::ScalarType type, std::int64_t head_dim) {
  return (type == at::kHalf || type == at::kBFloat16) && head_dim % 8 == 0 && head_dim <= 256;
}

at::Tensor flash_attention(const FlashSequences& sequences, const at::Tensor& q_THK, const at::Tensor& k_PGK,
                           const at::Tensor& v_PGK, const Mask& mask) {
  const bool windowed = mask.causal && mask.window > 0;
  const std::optional<c10::SymInt> before = windowed ? mask.window - 1 : -1, behind = mask.causal ? 0 : -1;
  const std::optional<at::Tensor> used =
      sequences.used_S.defined() ? std::optional(sequences.used_S) : std::nullopt;
  return std::get<0>(at::_flash_attention_forward_symint(
                         q_THK, k_PGK, v_PGK, sequences.row_starts, sequences.key_starts, sequences.most_rows,
                         sequences.most_keys, /*dropout_p=*/0, mask.causal, /*return_debug_mask=*/false,
                         /*scale=*/std::nullopt, before, behind, used))
      .flatten(1);
}

at::Tensor CudaBackend::attend(const AttentionRows& rows, const at::Tensor& q_THK, const at::Tensor& k_TGK,
                               const at::Tensor& v_TGK, const Mask& mask) const {
  if (!flash_knows(q_THK.scalar_type(), q_THK.size(2)))
    return TorchBackend::attend(rows, q_THK, k_TGK, v_TGK, mask);
  const RowStarts& starts = rows.starts();
  return flash_attention({starts.first_rows, starts.first_rows, {}, starts.most_rows, starts.most_rows},
                         q_THK, k_TGK, v_TGK, mask);
}

std::unique_ptr<KvCache> CudaBackend::make_cache(const CacheShape& shape) const {
  if (!flash_knows(shape.type, shape.head_dim)) return TorchBackend::make_cache(shape);
  return std::make_unique<FlashKvCache>(shape);
}

}  // namespace rocket
