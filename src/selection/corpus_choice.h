// Algorithm 2: records that are near the shots and not near each other.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "selection/near_walk.h"
#include "selection/shot_similarity.h"

namespace rocket {

enum class SelectionPolicy { greedy, released_code, similarity_only, random, convex, kde, repr_filter, none };

struct SelectionOptions {
  std::int64_t retrieve = 1000;  // C
  double threshold = 0.9;        // tau
  ShotSimilarity similarity = ShotSimilarity::max;
  SelectionPolicy policy = SelectionPolicy::greedy;
  double gamma = 2.0;
  std::uint64_t seed = 0;
};

/// Unit vectors of the corpus, read by blocks of rows.
struct EmbeddingSource {
  std::int64_t records = 0, dimension = 0;
  /// Rows [first, first + count), row-major.
  std::function<std::vector<float>(std::int64_t first, std::int64_t count)> rows;
  std::int64_t block = 4096;  // rows asked for at a time; what is chosen does not depend on it
  std::vector<std::int64_t> long_texts = {};  // [records] as NearWalk::take has them; empty: none is long
};

struct CuratedSet {
  std::vector<std::int64_t> retrieved;   // corpus indices, by descending similarity, then ascending
  std::vector<float> similarity;         // of each retrieved record, by options.similarity
  std::vector<std::uint8_t> kept;        // of each retrieved record
  std::vector<std::int64_t> dropped_by;  // corpus index or -1
};

/// Collective; the result is the same on all ranks, and for any number of them. `excluded[r]` marks records
/// removed by decontamination. Two records are near if the cosine of their stored vectors, in float32, is
/// above float32(threshold); those of long texts if the texts are equal (near_walk.h). In memory: a block, C
/// numbers, and the references of the walk spread over the ranks (repr_filter: R numbers). Throws config (78)
/// for a threshold outside (-1, 1] or retrieve < 1; unless policy is none, data (65) for a corpus of which
/// nothing is left, or a vector that is not finite.
CuratedSet choose_records(Comm& comm, const EmbeddingSource& corpus, std::span<const float> shots_KD,
                          std::int64_t shots, const std::vector<bool>& excluded,
                          const SelectionOptions& options, const ForEach& for_each = one_by_one);

}  // namespace rocket
