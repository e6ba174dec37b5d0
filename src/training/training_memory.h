// The memory that training takes on a device, known from shapes alone.
#pragma once

#include <cstdint>

#include "formats/model_config.h"

namespace rocket {

struct TrainingShape {
  std::int64_t base_parameters = 0, mixture_parameters = 0;
  std::int64_t bytes_of_value = 2;  // of the base's type, in which the layers compute
  std::int64_t tokens = 0;          // of a micro-batch
  bool recompute_layers = false;
};

/// In bytes.
struct TrainingMemory {
  std::int64_t base = 0;
  std::int64_t mixture = 0;      // parameters, gradients and the optimizer's two moments, in float32
  std::int64_t activations = 0;  // what the backward pass reads, and what it computes at one time
  std::int64_t all() const { return base + mixture + activations; }
};

/// On a GPU, for a mixture on all linear layers; on fewer it takes less. The CPU keeps dropout's masks, too,
/// and copies of its own, which nobody has counted.
TrainingMemory training_memory(const DecoderConfig& model, const TrainingShape& shape);

}  // namespace rocket
