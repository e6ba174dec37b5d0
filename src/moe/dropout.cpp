#include "moe/dropout.h"

#include <cmath>

#include "backend/upload.h"
#include "base/random.h"

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
  at::Tensor upper_T = at::empty({rows.tokens()}, at::kLong);
  for (std::size_t s = 0; s < rows.sequences.size(); ++s) {
    const std::int64_t record = key_.records.at(static_cast<std::size_t>(rows.sequences[s]));
    upper_T.narrow(0, rows.starts[s], rows.length(s)).fill_(record << kInputBits);
  }
  upper_T_ = upload(upper_T, rows.positions_T.device());
  lower_T_ = rows.positions_T.bitwise_left_shift(32);
}

InputDropout Dropout::of_input(std::int64_t input) const {
  if (!active()) return {};
  const auto threshold = static_cast<std::uint32_t>(std::ldexp(key_.probability, 32));
  return {{upper_T_, lower_T_, philox_key_, static_cast<std::uint64_t>(input), threshold},
          1 / (1 - key_.probability)};
}

}  // namespace rocket
