#include "moe/dropout.h"

#include <c10/core/DeviceGuard.h>

#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "kernels/gpu.h"
#include "kernels/kernels.h"
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
  upper_T_.clear();
  for (std::size_t s = 0; s < rows.sequences.size(); ++s) {
    const auto record =
        static_cast<std::uint64_t>(key_.records.at(static_cast<std::size_t>(rows.sequences[s])));
    upper_T_.insert(upper_T_.end(), static_cast<std::size_t>(rows.length(s)), record << kInputBits);
  }
  const at::Tensor positions_T = rows.positions_T.to(at::kCPU).contiguous();
  const std::int64_t* position = positions_T.const_data_ptr<std::int64_t>();
  lower_T_.clear();
  for (std::int64_t t = 0; t < positions_T.numel(); ++t)
    lower_T_.push_back(static_cast<std::uint64_t>(position[t]) << 32);
  if (!rows.positions_T.is_cuda()) return;
  const auto on_gpu = [&](const std::vector<std::uint64_t>& values) {
    return at::tensor(std::vector<std::int64_t>(values.begin(), values.end()), at::kLong)
        .to(rows.positions_T.device());
  };
  gpu_upper_T_ = on_gpu(upper_T_);
  gpu_lower_T_ = on_gpu(lower_T_);
}

KeptFeatures Dropout::kept(std::int64_t features, std::int64_t input) const {
  if (!active()) return {};
  const at::Device device = gpu_upper_T_.defined() ? gpu_upper_T_.device() : at::kCPU;
  at::Tensor kept_TI = at::empty({static_cast<std::int64_t>(upper_T_.size()), features},
                                 at::TensorOptions(at::kByte).device(device));
  device.is_cuda() ? draw_on_gpu(kept_TI, static_cast<std::uint64_t>(input))
                   : draw(kept_TI, static_cast<std::uint64_t>(input));
  return {kept_TI, 1 / (1 - key_.probability)};
}

void Dropout::draw(at::Tensor& kept_TI, std::uint64_t input) const {
  const std::int64_t features = kept_TI.size(1);
  std::uint8_t* kept = kept_TI.mutable_data_ptr<std::uint8_t>();
  on_row_bands(kept_TI.size(0), features, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      const auto row = static_cast<std::size_t>(t);
      kernels().dropout_mask({philox_key_, upper_T_[row] | input, lower_T_[row], threshold()}, features,
                             kept + t * features);
    }
  });
}

void Dropout::draw_on_gpu(at::Tensor& kept_TI, std::uint64_t input) const {
  const c10::DeviceGuard on_device(kept_TI.device());
  const char* problem = dropout_mask_on_gpu(
      {gpu_upper_T_.const_data_ptr<std::int64_t>(), gpu_lower_T_.const_data_ptr<std::int64_t>(),
       kept_TI.size(0), kept_TI.size(1), philox_key_, input, threshold()},
      kept_TI.mutable_data_ptr<std::uint8_t>());
  if (problem != nullptr) fail_internal("dropout on the GPU: {}", problem);
}

std::uint32_t Dropout::threshold() const {
  return static_cast<std::uint32_t>(std::ldexp(key_.probability, 32));
}

}  // namespace rocket
