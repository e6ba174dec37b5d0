#include "backend/kv_cache.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "backend/cpu/cpu_backend.h"
#include "backend/torch/kv_cache.h"
#include "base/error.h"
#include "support.h"

namespace rocket {
namespace {

using test::Sequences;

/// Sequences cut into pieces: piece p of sequence s is ids[cuts[s][p] .. cuts[s][p + 1]).
PackedRows piece(const Sequences& sequences, const std::vector<std::int64_t>& chosen,
                 const std::vector<std::int64_t>& begin, const std::vector<std::int64_t>& end) {
  Sequences parts;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const auto& ids = sequences[static_cast<std::size_t>(chosen[i])];
    parts.emplace_back(ids.begin() + begin[i], ids.begin() + end[i]);
  }
  PackedRows rows = pack(parts, at::kCPU);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    rows.sequences[i] = chosen[i];
    rows.positions_T.narrow(0, rows.starts[i], rows.starts[i + 1] - rows.starts[i]).add_(begin[i]);
  }
  return rows;
}

/// A cache of each kind; LibTorch's is a GPU's, which computes on a CPU as well.
class KvCacheTest : public testing::TestWithParam<const Backend*> {
 protected:
  c10::InferenceMode inference;
  const Decoder decoder = test::load_decoder("stories260k");
  const Sequences sequences{
      {1, 5, 9, 200, 7, 30, 77, 412}, {1, 2, 3, 4, 5, 6, 7, 8}, {9, 100, 8, 3, 3, 1, 0, 511}};

  std::unique_ptr<KvCache> cache_of(const std::vector<std::int64_t>& open) const {
    const DecoderConfig& c = decoder.config();
    auto cache = GetParam()->make_cache({c.layers, c.kv_heads, c.head_dim});
    for (const std::int64_t s : open) cache->open(s, 8);
    return cache;
  }
  at::Tensor whole(std::size_t s) const {
    return decoder.hidden(pack(Sequences{sequences[s]}, at::kCPU), nullptr);
  }
  void expect_rows(const at::Tensor& found, std::size_t s, std::int64_t begin) const {
    EXPECT_LT(test::largest_difference(found, whole(s).narrow(0, begin, found.size(0))), 2e-5)
        << "sequence " << s << " from " << begin;
  }
};

TEST_P(KvCacheTest, PiecesOfAnyLengthAgreeWithTheWholeSequence) {
  const std::vector<std::int64_t> all{2, 0, 1};
  const auto cache = cache_of(all);
  const std::vector<std::vector<std::int64_t>> cuts{{0, 0, 0}, {3, 1, 3}, {4, 4, 4}, {5, 7, 8}, {8, 8, 8}};
  for (std::size_t p = 0; p + 1 < cuts.size(); ++p) {
    const PackedRows rows = piece(sequences, all, cuts[p], cuts[p + 1]);
    const at::Tensor hidden = decoder.hidden(rows, nullptr, cache.get());
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (cuts[p][i] == cuts[p + 1][i]) continue;
      expect_rows(test::rows_of(hidden, rows, i), static_cast<std::size_t>(all[i]), cuts[p][i]);
    }
  }
}

TEST_P(KvCacheTest, SequencesLeaveAndJoin) {
  const auto cache = cache_of({0, 1});
  decoder.hidden(piece(sequences, {0, 1}, {0, 0}, {4, 6}), nullptr, cache.get());
  cache->close(0);
  cache->open(2, 8);
  const PackedRows rows = piece(sequences, {2, 1}, {0, 6}, {5, 7});
  const at::Tensor hidden = decoder.hidden(rows, nullptr, cache.get());
  expect_rows(test::rows_of(hidden, rows, 0), 2, 0);
  expect_rows(test::rows_of(hidden, rows, 1), 1, 6);
  cache->open(0, 8);
  const PackedRows again = piece(sequences, {0}, {0}, {8});
  expect_rows(decoder.hidden(again, nullptr, cache.get()), 0, 0);
  const PackedRows last = piece(sequences, {1, 2}, {7, 5}, {8, 6});
  const at::Tensor end = decoder.hidden(last, nullptr, cache.get());
  expect_rows(test::rows_of(end, last, 0), 1, 7);
  expect_rows(test::rows_of(end, last, 1), 2, 5);
}

TEST_P(KvCacheTest, AForkGoesOnFromACopyAndACutOneFromWhatIsLeft) {
  const auto cache = cache_of({0});
  decoder.hidden(piece(sequences, {0}, {0}, {8}), nullptr, cache.get());
  Sequences other = sequences;
  other[1] = {1, 5, 9, 44, 45, 46, 47, 48};
  cache->fork(0, 1, 3, 8);
  EXPECT_EQ(cache->length(1), 3);
  const PackedRows forked = piece(other, {1}, {3}, {8});
  const at::Tensor expected = decoder.hidden(pack(Sequences{other[1]}, at::kCPU), nullptr).narrow(0, 3, 5);
  EXPECT_LT(test::largest_difference(decoder.hidden(forked, nullptr, cache.get()), expected), 2e-5);
  cache->truncate(0, 5);
  const PackedRows rest = piece(sequences, {0}, {5}, {8});
  expect_rows(decoder.hidden(rest, nullptr, cache.get()), 0, 5);
  EXPECT_THROW(cache->truncate(0, 9), Error);
}

TEST_P(KvCacheTest, AForkTakesOverWhatTheSameForwardComputes) {
  const Sequences texts{sequences[0], {1, 5, 9, 200, 44, 45, 46, 47}, {1, 5, 48, 49, 50, 51, 52, 53}};
  const auto cache = cache_of({0});
  decoder.hidden(piece(texts, {0}, {0}, {2}), nullptr, cache.get());
  cache->fork(0, 1, 4, 8);  // two positions are cached, two are to come
  cache->fork(1, 2, 2, 8);
  const PackedRows rows = piece(texts, {2, 0, 1}, {2, 2, 4}, {3, 8, 8});
  const at::Tensor hidden = decoder.hidden(rows, nullptr, cache.get());
  const PackedRows rest = piece(texts, {2}, {3}, {8});
  const at::Tensor later = decoder.hidden(rest, nullptr, cache.get());
  const auto expect_text = [&](const at::Tensor& found, std::size_t text, std::int64_t begin) {
    const at::Tensor all = decoder.hidden(pack(Sequences{texts[text]}, at::kCPU), nullptr);
    EXPECT_LT(test::largest_difference(found, all.narrow(0, begin, found.size(0))), 2e-5) << text;
  };
  expect_text(test::rows_of(hidden, rows, 0), 2, 2);
  expect_text(test::rows_of(hidden, rows, 1), 0, 2);
  expect_text(test::rows_of(hidden, rows, 2), 1, 4);
  expect_text(later, 2, 3);
}

TEST_P(KvCacheTest, AWindowHidesWhatLiesBehindIt) {
  DecoderConfig config = decoder.config();
  const at::Tensor q = at::randn({6, config.heads, config.head_dim}),
                   k = at::randn({6, config.kv_heads, config.head_dim});
  const at::Tensor v = at::randn_like(k);
  const AttentionRule mask{.causal = true, .window = 3};
  const PackedRows whole = pack(Sequences{{1, 2, 3, 4, 5, 6}}, at::kCPU);
  const at::Tensor expected = GetParam()->attend(AttentionRows(whole), q, k, v, mask);
  const auto cache = cache_of({0});
  for (const auto& [begin, end] : {std::pair{0, 4}, std::pair{4, 5}, std::pair{5, 6}}) {
    const PackedRows rows = piece(sequences, {0}, {begin}, {end});
    cache->arrange(rows);
    const auto part = [&](const at::Tensor& x) { return x.narrow(0, begin, end - begin); };
    const at::Tensor found = cache->attend(0, part(q), part(k), part(v), mask);
    EXPECT_LT(test::largest_difference(found, part(expected)), 1e-6) << begin;
    cache->advance(rows);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, KvCacheTest, testing::Values(&cpu_backend(), &torch_backend()));

/// Sequences of random lengths come and go, and forks begin in the middle of it; each step is compared.
TEST_P(KvCacheTest, RangesMoveTogetherAndHoldNoMoreThanAsked) {
  constexpr std::int64_t kMost = 64;
  const DecoderConfig& c = decoder.config();
  const auto cache = GetParam()->make_cache({c.layers, c.kv_heads, c.head_dim, at::kFloat, at::kCPU, kMost});
  std::mt19937 draw(7);
  const auto random = [&](std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(draw);
  };
  Sequences texts;
  std::map<std::int64_t, std::int64_t> capacity;  // of the open sequences
  std::int64_t open = 0;
  for (int turn = 0; turn < 60; ++turn) {
    const std::int64_t wanted = random(3, 30);
    while (open + wanted > kMost) {
      const auto leaves = std::next(capacity.begin(), random(0, std::ssize(capacity) - 1));
      cache->close(leaves->first);
      open -= leaves->second;
      capacity.erase(leaves);
    }
    std::vector<TokenId> text;
    for (std::int64_t i = 0; i < wanted; ++i) text.push_back(static_cast<TokenId>(random(3, 400)));
    const auto sequence = std::ssize(texts);
    std::int64_t shared = 0;
    if (!capacity.empty() && turn % 3 == 0) {
      const auto& [from, of_other] = *std::prev(capacity.end());
      shared = random(1, std::min(cache->length(from), wanted - 1));
      std::copy_n(texts[static_cast<std::size_t>(from)].begin(), shared, text.begin());
      cache->fork(from, sequence, shared, wanted);
    } else {
      cache->open(sequence, wanted);
    }
    texts.push_back(text);
    capacity[sequence] = wanted;
    open += wanted;
    // The new one reads some of its text, the others go on by one where they have not ended.
    std::vector<std::int64_t> chosen, begin, end;
    for (const auto& [s, size] : capacity) {
      const std::int64_t from = cache->length(s);
      if (from == size) continue;
      chosen.push_back(s);
      begin.push_back(from);
      end.push_back(s == sequence ? random(from + 1, size) : from + 1);
    }
    const PackedRows rows = piece(texts, chosen, begin, end);
    const at::Tensor hidden = decoder.hidden(rows, nullptr, cache.get());
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const auto& whole_text = texts[static_cast<std::size_t>(chosen[i])];
      const at::Tensor expected = decoder.hidden(pack(Sequences{whole_text}, at::kCPU), nullptr);
      EXPECT_LT(test::largest_difference(test::rows_of(hidden, rows, i),
                                         expected.narrow(0, begin[i], end[i] - begin[i])),
                2e-5)
          << "turn " << turn << ", sequence " << chosen[i] << " from " << begin[i];
    }
    if (const auto* ranges = dynamic_cast<const RangeKvCache*>(cache.get())) {
      EXPECT_LE(ranges->positions(), kMost);
    }
  }
}

TEST_P(KvCacheTest, ATextLongerThanAllThatIsAskedHasRoom) {
  const DecoderConfig& c = decoder.config();
  const auto cache = GetParam()->make_cache({c.layers, c.kv_heads, c.head_dim, at::kFloat, at::kCPU, 4});
  cache->open(0, 8);
  expect_rows(decoder.hidden(piece(sequences, {0}, {0}, {8}), nullptr, cache.get()), 0, 0);
}

class KvCacheBits : public testing::Test {
 protected:
  c10::InferenceMode inference;
  const Decoder decoder = test::load_decoder("stories260k");
  const Sequences sequences{
      {1, 5, 9, 200, 7, 30, 77, 412}, {1, 2, 3, 4, 5, 6, 7, 8}, {9, 100, 8, 3, 3, 1, 0, 511}};

  at::Tensor whole(std::size_t s) const {
    return decoder.hidden(pack(Sequences{sequences[s]}, at::kCPU), nullptr);
  }
};

TEST_F(KvCacheBits, StepsHaveTheSameBitsWhateverCompanyAndThreads) {
  const auto cache_of = [&](const std::vector<std::int64_t>& open) {
    auto cache = decoder.make_cache(64);
    for (const std::int64_t s : open) cache->open(s, 8);
    return cache;
  };
  const auto alone = [&](std::int64_t s) {
    const auto cache = cache_of({s});
    decoder.hidden(piece(sequences, {s}, {0}, {5}), nullptr, cache.get());
    return decoder.hidden(piece(sequences, {s}, {5}, {6}), nullptr, cache.get());
  };
  const int before = at::get_num_threads();
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    const auto cache = cache_of({0, 1, 2});
    decoder.hidden(piece(sequences, {2, 0, 1}, {0, 0, 0}, {5, 5, 5}), nullptr, cache.get());
    const at::Tensor together =
        decoder.hidden(piece(sequences, {1, 2, 0}, {5, 5, 5}, {6, 6, 6}), nullptr, cache.get());
    for (const auto& [row, s] : {std::pair{0, 1}, std::pair{1, 2}, std::pair{2, 0}}) {
      EXPECT_TRUE(together.narrow(0, row, 1).equal(alone(s)));
      EXPECT_TRUE(together.narrow(0, row, 1).equal(whole(static_cast<std::size_t>(s)).narrow(0, 5, 1)));
    }
  }
  at::set_num_threads(before);
}

}  // namespace
}  // namespace rocket
