#include "selection/corpus_choice.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/random.h"
#include "selection/hull.h"
#include "selection/near_walk.h"
#include "selection/top_records.h"

namespace rocket {
namespace {

// Squared distances to the hull are compared on this grid, so that "inside" is exactly 0 and equal is equal.
constexpr double kDistanceGrid = 1e9;
// Rows that are read and walked at once.
constexpr std::size_t kWalkRows = 4096;
// Rows that are read for nothing cost less than one more reading.
constexpr std::int64_t kRowsBetween = 64;
// Rows that a thread judges at once.
constexpr std::int64_t kSlice = 128;

struct Corpus {
  const EmbeddingSource& source;
  std::span<const float> shots_KD;
  std::int64_t shots;
  const std::vector<bool>& excluded;
  const SelectionOptions& options;
  const ForEach& for_each;
};

std::int64_t block_of(const EmbeddingSource& source) {
  return std::max<std::int64_t>(1, source.block);
}

std::vector<float> read_rows(const EmbeddingSource& source, std::int64_t first, std::int64_t count) {
  std::vector<float> rows = source.rows(first, count);
  if (rows.size() != static_cast<std::size_t>(count * source.dimension)) {
    fail_internal("embeddings of records {} to {}: expected {} numbers, got {}", first, first + count,
                  count * source.dimension, rows.size());
  }
  return rows;
}

/// What the policy chooses by; the larger wins.
class Key {
 public:
  explicit Key(const Corpus& corpus)
      : options_(corpus.options), random_(stream("records.random")), kde_(stream("records.kde")) {
    if (options_.policy == SelectionPolicy::convex) {
      hull_.emplace(corpus.shots_KD, corpus.shots);
    }
  }

  double operator()(std::int64_t record, const float* row, std::span<const float> cosines_K,
                    float similarity) const {
    switch (options_.policy) {
      case SelectionPolicy::random:
        return -uniform(options_.seed, random_, static_cast<std::uint64_t>(record));
      case SelectionPolicy::kde:
        return log_density(cosines_K) -
               std::log(-std::log(uniform(options_.seed, kde_, static_cast<std::uint64_t>(record))));
      case SelectionPolicy::convex:
        return -std::nearbyint(hull_->squared_distance(row) * kDistanceGrid) / kDistanceGrid;
      default:
        return similarity;
    }
  }

 private:
  /// log of the mean over the shots of exp(-gamma |e - s|^2); |e - s|^2 = 2 - 2 cos for unit vectors.
  double log_density(std::span<const float> cosines_K) const {
    const double peak =
        -options_.gamma * (2 - 2 * static_cast<double>(over_shots(cosines_K, ShotSimilarity::max)));
    double sum = 0;
    for (float cosine : cosines_K) {
      sum += std::exp(-options_.gamma * (2 - 2 * static_cast<double>(cosine)) - peak);
    }
    return peak + std::log(sum / static_cast<double>(cosines_K.size()));
  }

  const SelectionOptions& options_;
  std::uint64_t random_, kde_;
  std::optional<Hull> hull_;
};

/// What a block's records are ranked by.
struct Judged {
  std::vector<double> key;
  std::vector<float> similarity;  // not finite where the vector is not
};

class Judge {
 public:
  explicit Judge(const Corpus& corpus)
      : corpus_(corpus), key_(corpus), shot_cosines_(corpus.shots_KD, corpus.shots) {}

  Judged operator()(std::int64_t first, std::span<const float> rows_BD) const {
    const std::int64_t count = static_cast<std::int64_t>(rows_BD.size()) / corpus_.source.dimension;
    Judged judged{std::vector<double>(static_cast<std::size_t>(count)),
                  std::vector<float>(static_cast<std::size_t>(count))};
    corpus_.for_each((count + kSlice - 1) / kSlice, [&](std::int64_t slice) {
      const std::int64_t begin = slice * kSlice;
      judge(first, rows_BD, begin, std::min(kSlice, count - begin), judged);
    });
    return judged;
  }

 private:
  void judge(std::int64_t first, std::span<const float> rows_BD, std::int64_t begin, std::int64_t count,
             Judged& judged) const {
    const auto shots = static_cast<std::size_t>(corpus_.shots);
    std::vector<float> all(static_cast<std::size_t>(count) * shots);
    shot_cosines_.compute(rows_BD.data() + begin * corpus_.source.dimension, count, all.data());
    for (std::int64_t r = 0; r < count; ++r) {
      const auto cosines = std::span<const float>(all).subspan(static_cast<std::size_t>(r) * shots, shots);
      const bool finite =
          std::all_of(cosines.begin(), cosines.end(), [](float x) { return std::isfinite(x); });
      const auto place = static_cast<std::size_t>(begin + r);
      judged.similarity[place] =
          finite ? over_shots(cosines, corpus_.options.similarity) : std::numeric_limits<float>::quiet_NaN();
      if (finite && !corpus_.excluded[static_cast<std::size_t>(first) + place]) {
        judged.key[place] = key_(first + begin + r, rows_BD.data() + (begin + r) * corpus_.source.dimension,
                                 cosines, judged.similarity[place]);
      }
    }
  }

  const Corpus& corpus_;
  Key key_;
  ShotCosines shot_cosines_;
};

/// Collective. The `most` first records of those that are not excluded, in walk order. Ranks take blocks of
/// the corpus in turn.
std::vector<RankedRecord> scan(Comm& comm, const Corpus& corpus, std::int64_t most) {
  TopRecords top(most);
  agree(comm, [&] {
    const Judge judge(corpus);
    const EmbeddingSource& source = corpus.source;
    const std::int64_t step = block_of(source);
    for (std::int64_t first = comm.rank() * step; first < source.records; first += comm.size() * step) {
      const std::int64_t count = std::min(step, source.records - first);
      const Judged judged = judge(first, read_rows(source, first, count));
      for (std::int64_t r = 0; r < count; ++r) {
        const auto place = static_cast<std::size_t>(r);
        if (corpus.excluded[static_cast<std::size_t>(first) + place]) {
          continue;
        }
        if (!std::isfinite(judged.similarity[place])) {
          fail_data("corpus record {}: its embedding is not finite: run `rocket embed CONFIG --fresh`",
                    first + r);
        }
        top.offer({judged.key[place], judged.similarity[place], first + r});
      }
    }
  });
  return std::move(top).walk(comm);
}

void append(std::span<const RankedRecord> walked, CuratedSet& set) {
  for (const RankedRecord& record : walked) {
    set.retrieved.push_back(record.record);
    set.similarity.push_back(record.similarity);
  }
}

/// Turns positions of the walk into corpus indices.
void decide(const NearWalk& walk, CuratedSet& set) {
  for (std::int64_t position : walk.dropped_by()) {
    set.kept.push_back(position < 0);
    set.dropped_by.push_back(position < 0 ? -1 : set.retrieved[static_cast<std::size_t>(position)]);
  }
}

/// Vectors of some records in the given order; those that lie close together in the corpus are read together,
/// up to a block, with the few rows between them.
std::vector<float> gather(const EmbeddingSource& source, std::span<const RankedRecord> records) {
  std::vector<std::pair<std::int64_t, std::size_t>> wanted;
  for (std::size_t i = 0; i < records.size(); ++i) {
    wanted.emplace_back(records[i].record, i);
  }
  std::sort(wanted.begin(), wanted.end());
  const auto dimension = static_cast<std::size_t>(source.dimension);
  const std::int64_t block = block_of(source);
  std::vector<float> result(records.size() * dimension);
  for (std::size_t first = 0; first < wanted.size();) {
    std::size_t end = first + 1;
    const std::int64_t begin = wanted[first].first;
    while (end < wanted.size() && wanted[end].first - wanted[end - 1].first <= kRowsBetween &&
           wanted[end].first - begin < block) {
      ++end;
    }
    const std::vector<float> rows = read_rows(source, begin, wanted[end - 1].first + 1 - begin);
    for (std::size_t i = first; i < end; ++i) {
      std::copy_n(rows.begin() + (wanted[i].first - begin) * source.dimension, dimension,
                  result.begin() + static_cast<std::ptrdiff_t>(wanted[i].second * dimension));
    }
    first = end;
  }
  return result;
}

/// Collective. Vectors of some records in the given order, on every rank: each reads its share.
std::vector<float> gather(Comm& comm, const EmbeddingSource& source, std::span<const RankedRecord> records) {
  const auto share = [&](int rank) {
    return records.size() * static_cast<std::size_t>(rank) / static_cast<std::size_t>(comm.size());
  };
  std::vector<float> mine;
  agree(comm, [&] {
    mine = gather(source, records.subspan(share(comm.rank()), share(comm.rank() + 1) - share(comm.rank())));
  });
  std::vector<float> result;
  result.reserve(records.size() * static_cast<std::size_t>(source.dimension));
  for (const std::string& theirs : comm.gather_all(bytes_of(mine))) {
    const std::size_t at = result.size();
    result.resize(at + theirs.size() / sizeof(float));
    std::memcpy(result.data() + at, theirs.data(), theirs.size());
  }
  return result;
}

/// As NearWalk::take has them, of some records.
std::vector<std::int64_t> long_texts_of(const EmbeddingSource& source,
                                        std::span<const RankedRecord> records) {
  std::vector<std::int64_t> numbers;
  if (source.long_texts.empty()) return numbers;
  for (const RankedRecord& record : records)
    numbers.push_back(source.long_texts[static_cast<std::size_t>(record.record)]);
  return numbers;
}

/// Collective. Looks at records in order until they end or `most` are kept.
CuratedSet walk(Comm& comm, const Corpus& corpus, std::span<const RankedRecord> order, std::int64_t most) {
  NearWalk walk(corpus.source.dimension, corpus.options.threshold,
                corpus.options.policy == SelectionPolicy::released_code ? NearWalk::References::seen
                                                                        : NearWalk::References::kept,
                corpus.for_each);
  std::size_t looked_at = 0;
  while (looked_at < order.size() && walk.kept() < most) {
    const std::span<const RankedRecord> rest = order.subspan(looked_at);
    const std::span<const RankedRecord> next = rest.first(std::min(kWalkRows, rest.size()));
    looked_at += walk.take(comm, gather(comm, corpus.source, next), most, long_texts_of(corpus.source, next));
  }
  CuratedSet set;
  append(order.first(looked_at), set);
  decide(walk, set);
  return set;
}

/// Collective.
CuratedSet choose(Comm& comm, const Corpus& corpus) {
  const SelectionOptions& options = corpus.options;
  if (options.policy == SelectionPolicy::repr_filter) {
    // The walk goes on through the whole corpus until C records are kept.
    return walk(comm, corpus, scan(comm, corpus, corpus.source.records), options.retrieve);
  }
  const std::vector<RankedRecord> top = scan(comm, corpus, options.retrieve);
  if (options.policy == SelectionPolicy::greedy || options.policy == SelectionPolicy::released_code) {
    return walk(comm, corpus, top, options.retrieve);
  }
  CuratedSet set;
  append(top, set);
  set.kept.assign(set.retrieved.size(), 1);
  set.dropped_by.assign(set.retrieved.size(), -1);
  return set;
}

void check(const Corpus& corpus) {
  const SelectionOptions& options = corpus.options;
  if (options.retrieve < 1) {
    fail_config("selection.retrieve: expected at least 1, found {}", options.retrieve);
  }
  if (!(options.threshold > -1 && options.threshold <= 1)) {
    fail_config("selection.threshold: expected a cosine in (-1, 1], found {}", options.threshold);
  }
  if (!(options.gamma >= 0)) {
    fail_config("selection.gamma: expected a number that is not negative, found {}", options.gamma);
  }
  const auto removed = std::count(corpus.excluded.begin(), corpus.excluded.end(), true);
  if (removed == corpus.source.records) {
    fail_data(
        "the corpus has no record to choose from: {} records, of which {} equal a shot or an evaluation item",
        corpus.source.records, removed);
  }
  const auto shot_numbers = static_cast<std::size_t>(corpus.shots * corpus.source.dimension);
  if (corpus.shots < 1 || corpus.shots_KD.size() != shot_numbers ||
      corpus.excluded.size() != static_cast<std::size_t>(corpus.source.records)) {
    fail_internal("choice of records: {} shots x {} dimensions hold {} numbers, {} records have {} marks",
                  corpus.shots, corpus.source.dimension, corpus.shots_KD.size(), corpus.source.records,
                  corpus.excluded.size());
  }
  if (!std::all_of(corpus.shots_KD.begin(), corpus.shots_KD.end(),
                   [](float x) { return std::isfinite(x); })) {
    fail_data("the embedding of a shot is not finite: run `rocket embed CONFIG --fresh`");
  }
}

}  // namespace

CuratedSet choose_records(Comm& comm, const EmbeddingSource& corpus, std::span<const float> shots_KD,
                          std::int64_t shots, const std::vector<bool>& excluded,
                          const SelectionOptions& options, const ForEach& for_each) {
  if (options.policy == SelectionPolicy::none) {
    return {};
  }
  const Corpus parts{corpus, shots_KD, shots, excluded, options, for_each};
  agree(comm, [&] { check(parts); });
  return choose(comm, parts);
}

}  // namespace rocket
