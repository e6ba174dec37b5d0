#include "selection/corpus_choice.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/random.h"
#include "selection/dot.h"
#include "selection/hull.h"
#include "selection/near_walk.h"

namespace rocket {
namespace {

// Squared distances to the hull are compared on this grid, so that "inside" is exactly 0 and equal is equal.
constexpr double kDistanceGrid = 1e9;
constexpr std::size_t kWalkRows = 1024;

struct Corpus {
  const EmbeddingSource& source;
  std::span<const float> shots_KD;
  std::int64_t shots;
  const std::vector<bool>& excluded;
  const SelectionOptions& options;
};

struct Ranked {
  double key = 0;  // the larger is chosen
  float similarity = 0;
  std::int64_t record = 0;
};

bool chosen_before(const Ranked& a, const Ranked& b) {
  return std::tuple(-a.key, -a.similarity, a.record) < std::tuple(-b.key, -b.similarity, b.record);
}

bool walked_before(const Ranked& a, const Ranked& b) {
  return std::tuple(-a.similarity, a.record) < std::tuple(-b.similarity, b.record);
}

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

/// The `most` records that come first by chosen_before; with `with_rows` also their vectors.
class TopRecords {
 public:
  TopRecords(std::int64_t most, std::int64_t dimension, bool with_rows)
      : most_(static_cast<std::size_t>(most)),
        dimension_(static_cast<std::size_t>(dimension)),
        with_rows_(with_rows) {}

  void offer(const Ranked& record, const float* row) {
    if (heap_.size() < most_) {
      const std::size_t slot = heap_.size();
      rows_.resize(with_rows_ ? (slot + 1) * dimension_ : 0);
      put({record, slot}, row);
    } else if (chosen_before(record, heap_.front().record)) {
      std::pop_heap(heap_.begin(), heap_.end(), last_on_top);
      const std::size_t slot = heap_.back().slot;
      heap_.pop_back();
      put({record, slot}, row);
    }
  }

  /// The records in walk order; their vectors go to rows_CD in the same order.
  std::vector<Ranked> walk(std::vector<float>& rows_CD) {
    std::sort(heap_.begin(), heap_.end(),
              [](const Entry& a, const Entry& b) { return walked_before(a.record, b.record); });
    std::vector<Ranked> records;
    records.reserve(heap_.size());
    rows_CD.reserve(rows_.size());
    for (const Entry& entry : heap_) {
      records.push_back(entry.record);
      if (with_rows_) {
        const float* row = rows_.data() + entry.slot * dimension_;
        rows_CD.insert(rows_CD.end(), row, row + dimension_);
      }
    }
    return records;
  }

 private:
  struct Entry {
    Ranked record;
    std::size_t slot = 0;
  };

  static bool last_on_top(const Entry& a, const Entry& b) { return chosen_before(a.record, b.record); }

  void put(const Entry& entry, const float* row) {
    heap_.push_back(entry);
    std::push_heap(heap_.begin(), heap_.end(), last_on_top);
    if (with_rows_) {
      std::copy(row, row + dimension_, rows_.begin() + static_cast<std::ptrdiff_t>(entry.slot * dimension_));
    }
  }

  std::size_t most_, dimension_;
  bool with_rows_;
  std::vector<Entry> heap_;
  std::vector<float> rows_;
};

/// Calls take(ranked, row) for each record that is not excluded, in corpus order.
template <class Take>
void scan(const Corpus& corpus, const Take& take) {
  const Key key(corpus);
  const EmbeddingSource& source = corpus.source;
  const std::int64_t step = block_of(source);
  std::vector<float> cosines(static_cast<std::size_t>(corpus.shots));
  for (std::int64_t first = 0; first < source.records; first += step) {
    const std::int64_t count = std::min(step, source.records - first);
    const std::vector<float> rows = read_rows(source, first, count);
    for (std::int64_t r = 0; r < count; ++r) {
      if (corpus.excluded[static_cast<std::size_t>(first + r)]) {
        continue;
      }
      const float* row = rows.data() + r * source.dimension;
      shot_cosines(row, corpus.shots_KD, cosines);
      if (!std::all_of(cosines.begin(), cosines.end(), [](float x) { return std::isfinite(x); })) {
        fail_data("corpus record {}: its embedding is not finite: run `rocket embed CONFIG --fresh`",
                  first + r);
      }
      const float similarity = over_shots(cosines, corpus.options.similarity);
      take(Ranked{key(first + r, row, cosines, similarity), similarity, first + r}, row);
    }
  }
}

void append(const std::vector<Ranked>& walked, CuratedSet& set) {
  for (const Ranked& record : walked) {
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

CuratedSet choose_top(const Corpus& corpus) {
  const SelectionOptions& options = corpus.options;
  const bool greedy = options.policy == SelectionPolicy::greedy;
  const bool walks = greedy || options.policy == SelectionPolicy::released_code;
  TopRecords top(options.retrieve, corpus.source.dimension, walks);
  scan(corpus, [&](const Ranked& record, const float* row) { top.offer(record, row); });
  std::vector<float> rows;
  CuratedSet set;
  append(top.walk(rows), set);
  if (walks) {
    NearWalk walk(corpus.source.dimension, options.threshold,
                  greedy ? NearWalk::References::kept : NearWalk::References::seen);
    walk.take(rows, options.retrieve);
    decide(walk, set);
  } else {
    set.kept.assign(set.retrieved.size(), 1);
    set.dropped_by.assign(set.retrieved.size(), -1);
  }
  return set;
}

/// Vectors of some records in the given order; neighbours in the corpus are read together, up to a block.
std::vector<float> gather(const EmbeddingSource& source, std::span<const Ranked> records) {
  std::vector<std::pair<std::int64_t, std::size_t>> wanted;
  for (std::size_t i = 0; i < records.size(); ++i) {
    wanted.emplace_back(records[i].record, i);
  }
  std::sort(wanted.begin(), wanted.end());
  const auto dimension = static_cast<std::size_t>(source.dimension);
  const auto block = static_cast<std::size_t>(block_of(source));
  std::vector<float> result(records.size() * dimension);
  for (std::size_t first = 0; first < wanted.size();) {
    std::size_t end = first + 1;
    while (end < wanted.size() && wanted[end].first == wanted[end - 1].first + 1 && end - first < block) {
      ++end;
    }
    const std::vector<float> rows =
        read_rows(source, wanted[first].first, static_cast<std::int64_t>(end - first));
    for (std::size_t i = first; i < end; ++i) {
      std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>((i - first) * dimension), dimension,
                  result.begin() + static_cast<std::ptrdiff_t>(wanted[i].second * dimension));
    }
    first = end;
  }
  return result;
}

/// The walk goes on through the whole corpus until C records are kept.
CuratedSet choose_by_filter(const Corpus& corpus) {
  std::vector<Ranked> order;
  scan(corpus, [&](const Ranked& record, const float*) { order.push_back(record); });
  std::sort(order.begin(), order.end(), walked_before);
  NearWalk walk(corpus.source.dimension, corpus.options.threshold, NearWalk::References::kept);
  std::size_t looked_at = 0;
  while (looked_at < order.size() && walk.kept() < corpus.options.retrieve) {
    const std::span<const Ranked> rest = std::span(order).subspan(looked_at);
    looked_at += walk.take(gather(corpus.source, rest.first(std::min(kWalkRows, rest.size()))),
                           corpus.options.retrieve);
  }
  order.resize(looked_at);
  CuratedSet set;
  append(order, set);
  decide(walk, set);
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

CuratedSet choose_records(const EmbeddingSource& corpus, std::span<const float> shots_KD, std::int64_t shots,
                          const std::vector<bool>& excluded, const SelectionOptions& options) {
  if (options.policy == SelectionPolicy::none) {
    return {};
  }
  const Corpus parts{corpus, shots_KD, shots, excluded, options};
  check(parts);
  return options.policy == SelectionPolicy::repr_filter ? choose_by_filter(parts) : choose_top(parts);
}

}  // namespace rocket
