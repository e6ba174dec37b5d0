// Algorithm 2: records that are near the shots and not near each other.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace rocket {

enum class SelectionPolicy { greedy, released_code, similarity_only, random, convex, kde, repr_filter, none };
enum class ShotSimilarity { max, mean };

struct SelectionOptions {
  std::int64_t retrieve = 1000;  // C
  double threshold = 0.9;        // tau
  ShotSimilarity similarity = ShotSimilarity::max;
  SelectionPolicy policy = SelectionPolicy::greedy;
  double gamma = 2.0;
  std::uint64_t seed = 0;
};

/// Unit vectors of the corpus, read by blocks of rows: never more than a block and the retrieved rows in memory.
struct EmbeddingSource {
  std::int64_t records = 0, dimension = 0;
  /// Rows [first, first + count), row-major.
  std::function<std::vector<float>(std::int64_t first, std::int64_t count)> rows;
};

struct CuratedSet {
  std::vector<std::int64_t> retrieved;       // corpus indices, by descending similarity
  std::vector<float> similarity;             // of each retrieved record, by options.similarity
  std::vector<std::uint8_t> kept;            // of each retrieved record
  std::vector<std::int64_t> dropped_by;      // corpus index or -1
};

/// `excluded[r]` marks records removed by decontamination. Throws data (65) for an empty corpus unless policy is none.
CuratedSet choose_records(const EmbeddingSource& corpus, std::span<const float> shots_KD, std::int64_t shots,
                          const std::vector<bool>& excluded, const SelectionOptions& options);

}  // namespace rocket
