#include "moe/dropout.h"

#include <cmath>

#include "base/random.h"
#include "model/threads.h"

namespace rocket {
namespace {

constexpr int kInputBits = 24;  // of the counter's upper half; the record has the other 40

std::uint64_t key_of_step(std::uint64_t seed, std::int64_t step) {
  const auto words = philox(seed, stream("lora dropout"), static_cast<std::uint64_t>(step));
  return (std::uint64_t{words[1]} << 32) | words[0];
}

}  // namespace

Dropout::Dropout(DropoutKey key) : key_(std::move(key)), philox_key_(key_of_step(key_.seed, key_.step)) {
}

void Dropout::arrange(const PackedRows& rows) {
  record_T_.clear();
  for (std::size_t s = 0; s < rows.sequences.size(); ++s) {
    const std::int64_t record = key_.records.at(static_cast<std::size_t>(rows.sequences[s]));
    record_T_.insert(record_T_.end(), static_cast<std::size_t>(rows.starts[s + 1] - rows.starts[s]),
                     static_cast<std::uint64_t>(record));
  }
  const at::Tensor positions_T = rows.positions_T.to(at::kCPU).contiguous();
  const std::int64_t* position = positions_T.const_data_ptr<std::int64_t>();
  position_T_.assign(position, position + positions_T.numel());
}

KeptFeatures Dropout::kept(std::int64_t features, std::int64_t input, at::Device device) const {
  if (!active()) return {};
  const auto tokens = static_cast<std::int64_t>(record_T_.size());
  at::Tensor kept_TI = at::empty({tokens, features}, at::kByte);
  std::uint8_t* kept = kept_TI.mutable_data_ptr<std::uint8_t>();
  const auto threshold = static_cast<std::uint32_t>(std::ldexp(key_.probability, 32));
  on_row_bands(tokens, features, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const auto row = static_cast<std::size_t>(t);
      const std::uint64_t high = (record_T_[row] << kInputBits) | static_cast<std::uint64_t>(input);
      kernels().dropout_mask({philox_key_, high, position_T_[row] << 32, threshold}, features,
                             kept + t * features);
    }
  });
  return {kept_TI.to(device), 1 / (1 - key_.probability)};
}

}  // namespace rocket
