// How alike two adapters are, from lora_r x lora_r products only.
#pragma once

#include <string>
#include <vector>

#include "adapters/bank.h"

namespace rocket {

enum class SimilarityKind { delta_w, factors, released_code };

/// Symmetric [A, A] row-major, float64, diagonal 1 (`released_code`: its own sum). METHOD section 3, INTERFACE section 9.
/// `factors` and `released_code` throw data (65) naming two adapters whose ranks or targets differ.
std::vector<double> similarity_matrix(Bank& bank, SimilarityKind kind);

}  // namespace rocket
