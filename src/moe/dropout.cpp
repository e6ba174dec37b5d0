#include "moe/dropout.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace rocket {
namespace {

constexpr int kInputBits = 24;  // of the counter's upper half; the record has the other 40
constexpr std::int64_t kRowsPerTask = 16;

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

at::Tensor Dropout::mask(std::int64_t features, std::int64_t input) const {
  const auto tokens = static_cast<std::int64_t>(record_T_.size());
  at::Tensor mask_TI = at::empty({tokens, features}, at::kFloat);
  float* out = mask_TI.mutable_data_ptr<float>();
  const auto threshold = static_cast<std::uint64_t>(std::ldexp(key_.probability, 32));
  const auto kept = static_cast<float>(1 / (1 - key_.probability));
  at::parallel_for(0, tokens, kRowsPerTask, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const auto row = static_cast<std::size_t>(t);
      const std::uint64_t high = (record_T_[row] << kInputBits) | static_cast<std::uint64_t>(input);
      for (std::int64_t i = 0; i < features; i += 4) {
        const auto words =
            philox(philox_key_, high, (position_T_[row] << 32) | static_cast<std::uint64_t>(i / 4));
        const std::int64_t width = std::min<std::int64_t>(4, features - i);
        for (std::int64_t j = 0; j < width; ++j) {
          out[t * features + i + j] = words[static_cast<std::size_t>(j)] < threshold ? 0 : kept;
        }
      }
    }
  });
  return mask_TI;
}

at::Tensor Dropout::apply(const at::Tensor& x_TI, std::int64_t input) const {
  return active() ? x_TI * mask(x_TI.size(1), input).to(x_TI.device(), x_TI.scalar_type()) : x_TI;
}

}  // namespace rocket
