// How near rows of the corpus are to the shots. The embed job and the selection call the same code: same
// bits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rocket {

enum class ShotSimilarity { max, mean };

/// Cosines of unit vectors with the shots, clamped to 1; the products are those of near_walk.h.
class ShotCosines {
 public:
  ShotCosines(std::span<const float> shots_KD, std::int64_t shots);

  std::int64_t shots() const { return shots_; }
  /// To cosines_BK. A row's values do not depend on its company. Safe from several threads at once.
  void compute(const float* rows_BD, std::int64_t rows, float* cosines_BK) const;

 private:
  std::int64_t shots_, dimension_;
  std::vector<float> packed_;
};

/// The largest cosine, or their mean.
float over_shots(std::span<const float> cosines_K, ShotSimilarity kind);

/// [rows] similarity of each row to the shots. A row's value does not depend on its company.
std::vector<float> shot_similarity(std::span<const float> rows_RD, std::int64_t rows,
                                   std::span<const float> shots_KD, std::int64_t shots,
                                   ShotSimilarity kind = ShotSimilarity::max);

}  // namespace rocket
