#include "selection/shot_similarity.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "selection/dot.h"

namespace rocket {

void shot_cosines(const float* row_D, std::span<const float> shots_KD, std::span<float> cosines_K) {
  const auto shots = static_cast<std::int64_t>(cosines_K.size());
  dot_rows(row_D, shots_KD.data(), shots, static_cast<std::int64_t>(shots_KD.size()) / shots,
           cosines_K.data());
  for (float& cosine : cosines_K) {
    cosine = std::min(cosine, 1.0f);
  }
}

float over_shots(std::span<const float> cosines_K, ShotSimilarity kind) {
  if (kind == ShotSimilarity::max) {
    return *std::max_element(cosines_K.begin(), cosines_K.end());
  }
  const double sum = std::accumulate(cosines_K.begin(), cosines_K.end(), 0.0);
  return static_cast<float>(sum / static_cast<double>(cosines_K.size()));
}

std::vector<float> shot_similarity(std::span<const float> rows_RD, std::int64_t rows,
                                   std::span<const float> shots_KD, std::int64_t shots, ShotSimilarity kind) {
  const std::size_t dimension = shots > 0 ? shots_KD.size() / static_cast<std::size_t>(shots) : 0;
  if (dimension == 0 || shots_KD.size() != static_cast<std::size_t>(shots) * dimension ||
      rows_RD.size() != static_cast<std::size_t>(rows) * dimension) {
    fail_internal("similarity of {} rows to {} shots: got {} and {} numbers", rows, shots, rows_RD.size(),
                  shots_KD.size());
  }
  std::vector<float> cosines(static_cast<std::size_t>(shots)), result(static_cast<std::size_t>(rows));
  for (std::size_t r = 0; r < result.size(); ++r) {
    shot_cosines(rows_RD.data() + r * dimension, shots_KD, cosines);
    result[r] = over_shots(cosines, kind);
  }
  return result;
}

}  // namespace rocket
