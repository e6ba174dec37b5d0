// How near rows of the corpus are to the shots. The embed job and the selection call the same code: same bits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rocket {

enum class ShotSimilarity { max, mean };

/// Cosines of one unit vector with the K shots, clamped to 1, into cosines_K.
void shot_cosines(const float* row_D, std::span<const float> shots_KD, std::span<float> cosines_K);

/// The largest cosine, or their mean.
float over_shots(std::span<const float> cosines_K, ShotSimilarity kind);

/// [rows] similarity of each row to the shots. A row's value does not depend on its company.
std::vector<float> shot_similarity(std::span<const float> rows_RD, std::int64_t rows, std::span<const float> shots_KD,
                                   std::int64_t shots, ShotSimilarity kind = ShotSimilarity::max);

}  // namespace rocket
