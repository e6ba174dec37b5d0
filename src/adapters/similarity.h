// How alike two adapters are, from lora_r x lora_r products only.
#pragma once

#include <vector>

#include "adapters/bank.h"

namespace rocket {

enum class SimilarityKind { delta_w, factors, released_code };

/// Symmetric [A, A] row-major, float64, diagonal 1 (`released_code`: its own sum). docs/method.md
/// section 5. Each adapter file is opened once and each of its weights read once, whatever the
/// bank's memory; one weight of the base is worked on at a time, so that memory is 4 bytes for each value of
/// the adapters' factors of that weight, and [A, A]. `factors` and `released_code` throw data (65) naming two
/// adapters whose ranks or targets differ.
std::vector<double> similarity_matrix(const Bank& bank, SimilarityKind kind);

}  // namespace rocket
