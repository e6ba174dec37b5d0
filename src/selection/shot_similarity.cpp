#include "selection/shot_similarity.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "kernels/kernels.h"

namespace rocket {
namespace {

// Rows whose cosines are held at once.
constexpr std::int64_t kRows = 256;

}  // namespace

ShotCosines::ShotCosines(std::span<const float> shots_KD, std::int64_t shots)
    : shots_(shots),
      dimension_(static_cast<std::int64_t>(shots_KD.size()) / shots),
      packed_(static_cast<std::size_t>(packed_size(shots, dimension_))) {
  kernels().pack(shots_KD.data(), shots_, dimension_, dimension_, packed_.data());
}

void ShotCosines::compute(const float* rows_BD, std::int64_t rows, float* cosines_BK) const {
  kernels().multiply({.rows = rows,
                      .inner = dimension_,
                      .columns = shots_,
                      .a = rows_BD,
                      .a_stride = dimension_,
                      .b = {packed_.data(), kPanel, dimension_ * kPanel},
                      .c = cosines_BK,
                      .c_stride = shots_});
  std::transform(cosines_BK, cosines_BK + rows * shots_, cosines_BK,
                 [](float cosine) { return std::min(cosine, 1.0f); });
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
  const ShotCosines all(shots_KD, shots);
  std::vector<float> cosines(static_cast<std::size_t>(kRows * shots)), result(static_cast<std::size_t>(rows));
  for (std::int64_t first = 0; first < rows; first += kRows) {
    const std::int64_t count = std::min(kRows, rows - first);
    all.compute(rows_RD.data() + first * static_cast<std::int64_t>(dimension), count, cosines.data());
    for (std::int64_t r = 0; r < count; ++r) {
      result[static_cast<std::size_t>(first + r)] = over_shots(
          std::span(cosines).subspan(static_cast<std::size_t>(r * shots), static_cast<std::size_t>(shots)),
          kind);
    }
  }
  return result;
}

}  // namespace rocket
