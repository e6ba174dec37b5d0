#include "model/kv_cache.h"

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

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

class KvCacheTest : public testing::Test {
 protected:
  c10::InferenceMode inference;
  const Decoder decoder = test::load_decoder("stories260k");
  const Sequences sequences{
      {1, 5, 9, 200, 7, 30, 77, 412}, {1, 2, 3, 4, 5, 6, 7, 8}, {9, 100, 8, 3, 3, 1, 0, 511}};

  at::Tensor whole(std::size_t s) const {
    return decoder.hidden(pack(Sequences{sequences[s]}, at::kCPU), nullptr);
  }
  void expect_rows(const at::Tensor& found, std::size_t s, std::int64_t begin) const {
    EXPECT_LT(test::largest_difference(found, whole(s).narrow(0, begin, found.size(0))), 2e-5)
        << "sequence " << s << " from " << begin;
  }
};

TEST_F(KvCacheTest, PiecesOfAnyLengthAgreeWithTheWholeSequence) {
  KvCache cache;
  const std::vector<std::int64_t> all{2, 0, 1};
  const std::vector<std::vector<std::int64_t>> cuts{{0, 0, 0}, {3, 1, 3}, {4, 4, 4}, {5, 7, 8}, {8, 8, 8}};
  for (std::size_t p = 0; p + 1 < cuts.size(); ++p) {
    const PackedRows rows = piece(sequences, all, cuts[p], cuts[p + 1]);
    const at::Tensor hidden = decoder.hidden(rows, nullptr, &cache);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (cuts[p][i] == cuts[p + 1][i]) continue;
      expect_rows(test::rows_of(hidden, rows, i), static_cast<std::size_t>(all[i]), cuts[p][i]);
    }
  }
}

TEST_F(KvCacheTest, SequencesLeaveAndJoin) {
  KvCache cache;
  decoder.hidden(piece(sequences, {0, 1}, {0, 0}, {4, 6}), nullptr, &cache);
  cache.keep(std::vector<std::int64_t>{1});
  const PackedRows rows = piece(sequences, {2, 1}, {0, 6}, {5, 7});
  const at::Tensor hidden = decoder.hidden(rows, nullptr, &cache);
  expect_rows(test::rows_of(hidden, rows, 0), 2, 0);
  expect_rows(test::rows_of(hidden, rows, 1), 1, 6);
  const PackedRows again = piece(sequences, {0}, {0}, {8});
  expect_rows(decoder.hidden(again, nullptr, &cache), 0, 0);
  const PackedRows last = piece(sequences, {1, 2}, {7, 5}, {8, 6});
  const at::Tensor end = decoder.hidden(last, nullptr, &cache);
  expect_rows(test::rows_of(end, last, 0), 1, 7);
  expect_rows(test::rows_of(end, last, 1), 2, 5);
}

TEST_F(KvCacheTest, StepsHaveTheSameBitsWhateverCompanyAndThreads) {
  const auto alone = [&](std::int64_t s) {
    KvCache cache;
    decoder.hidden(piece(sequences, {s}, {0}, {5}), nullptr, &cache);
    return decoder.hidden(piece(sequences, {s}, {5}, {6}), nullptr, &cache);
  };
  const int before = at::get_num_threads();
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    KvCache cache;
    decoder.hidden(piece(sequences, {2, 0, 1}, {0, 0, 0}, {5, 5, 5}), nullptr, &cache);
    const at::Tensor together =
        decoder.hidden(piece(sequences, {1, 2, 0}, {5, 5, 5}, {6, 6, 6}), nullptr, &cache);
    EXPECT_TRUE(together.narrow(0, 0, 1).equal(alone(1)));
    EXPECT_TRUE(together.narrow(0, 1, 1).equal(alone(2)));
    EXPECT_TRUE(together.narrow(0, 2, 1).equal(alone(0)));
  }
  at::set_num_threads(before);
}

}  // namespace
}  // namespace rocket
