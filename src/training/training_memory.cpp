#include "training/training_memory.h"

namespace rocket {
namespace {

/// Values of a row that a layer keeps: its input, both sums' norms and the second sum, norms behind its two
/// parts; queries, keys, values and what attention makes of them; gate, up and their product.
std::int64_t kept_values(const DecoderConfig& c) {
  const std::int64_t behind = (c.names.after_attention.empty() ? 0 : 1) + (c.names.after_mlp.empty() ? 0 : 1);
  return (4 + behind) * c.hidden + (2 * c.heads + 2 * c.kv_heads) * c.head_dim + 3 * c.intermediate;
}

/// At one time the backward pass of the feed-forward layer holds the gradients of gate, up and their product,
/// and copies of the inputs that experts see.
std::int64_t passing_values(const DecoderConfig& c) {
  return 4 * c.intermediate + 4 * c.hidden;
}

}  // namespace

TrainingMemory training_memory(const DecoderConfig& model, const TrainingShape& shape) {
  const std::int64_t of_layers = shape.recompute_layers ? model.layers * model.hidden + kept_values(model)
                                                        : model.layers * kept_values(model);
  return {.base = shape.base_parameters * shape.bytes_of_value,
          .mixture = shape.mixture_parameters * 4 * static_cast<std::int64_t>(sizeof(float)),
          .activations = (of_layers + passing_values(model)) * shape.tokens * shape.bytes_of_value};
}

}  // namespace rocket
