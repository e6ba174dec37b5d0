#include "selection/near_walk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <thread>

#include "base/random.h"
#include "kernels/kernels.h"

namespace rocket {
namespace {

using References = NearWalk::References;

constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();

struct Vectors {
  std::int64_t dimension = 0;
  std::vector<float> rows;

  std::int64_t count() const { return static_cast<std::int64_t>(rows.size()) / dimension; }
  const float* row(std::int64_t i) const { return rows.data() + i * dimension; }
};

/// Unit vectors around `clusters` centres; every seventh is an exact copy of the one before.
Vectors clustered(std::int64_t count, std::int64_t dimension, std::uint64_t clusters, double spread) {
  Vectors vectors{dimension, {}};
  const auto draw = [&](std::uint64_t kind, std::uint64_t row, std::int64_t k) {
    return uniform(5, kind, row * static_cast<std::uint64_t>(dimension) + static_cast<std::uint64_t>(k)) -
           0.5;
  };
  for (std::int64_t i = 0; i < count; ++i) {
    const auto number = static_cast<std::uint64_t>(i % 7 == 6 ? i - 1 : i);
    const auto cluster = static_cast<std::uint64_t>(uniform(5, 2, number) * static_cast<double>(clusters));
    std::vector<double> row;
    for (std::int64_t k = 0; k < dimension; ++k)
      row.push_back(draw(0, cluster, k) + spread * draw(1, number, k));
    const double norm = std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0));
    for (double x : row) vectors.rows.push_back(static_cast<float>(x / norm));
  }
  return vectors;
}

float cosine(const Vectors& vectors, std::int64_t i, std::int64_t j) {
  const std::int64_t d = vectors.dimension;
  std::vector<float> packed(static_cast<std::size_t>(packed_size(1, d)));
  float result = 0;
  kernels().pack(vectors.row(j), 1, d, d, packed.data());
  kernels().multiply({.rows = 1,
                      .inner = d,
                      .columns = 1,
                      .a = vectors.row(i),
                      .a_stride = d,
                      .b = {packed.data(), kPanel, d * kPanel},
                      .c = &result,
                      .c_stride = 1});
  return std::min(result, 1.0f);
}

/// The definition, record by record and pair by pair.
std::vector<std::int64_t> serial_walk(const Vectors& vectors, double threshold, References references,
                                      std::int64_t most_kept = kAll) {
  std::vector<std::int64_t> dropped_by;
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < vectors.count() && kept < most_kept; ++i) {
    std::int64_t by = -1;
    for (std::int64_t j = 0; j < i && by < 0; ++j) {
      const bool stands = references == References::seen || dropped_by[static_cast<std::size_t>(j)] < 0;
      by = stands && cosine(vectors, i, j) > static_cast<float>(threshold) ? j : -1;
    }
    kept += by < 0;
    dropped_by.push_back(by);
  }
  return dropped_by;
}

void on_three_threads(std::int64_t count, const std::function<void(std::int64_t)>& work) {
  std::vector<std::jthread> threads;
  for (std::int64_t t = 0; t < 3; ++t) {
    threads.emplace_back([=, &work] {
      for (std::int64_t i = t; i < count; i += 3) work(i);
    });
  }
}

struct Walked {
  std::vector<std::int64_t> dropped_by;
  std::int64_t kept = 0;
};

Walked walk(Comm& comm, const Vectors& vectors, double threshold, References references,
            std::int64_t at_once = kAll, std::int64_t most_kept = kAll,
            const ForEach& for_each = one_by_one) {
  NearWalk walk(vectors.dimension, threshold, references, for_each);
  for (std::int64_t first = 0; first < vectors.count() && walk.kept() < most_kept;) {
    const std::int64_t count = std::min(at_once, vectors.count() - first);
    first += static_cast<std::int64_t>(walk.take(
        comm, std::span(vectors.row(first), static_cast<std::size_t>(count * vectors.dimension)), most_kept));
  }
  return {walk.dropped_by(), walk.kept()};
}

TEST(NearWalk, IsTheSerialWalk) {
  for (const References references : {References::kept, References::seen}) {
    for (const std::int64_t dimension : {1, 3, 17, 40}) {
      const Vectors vectors = clustered(700, dimension, 60, 0.4);
      for (const double threshold : {-0.5, 0.3, 0.8, 0.95, 1.0}) {
        const auto expected = serial_walk(vectors, threshold, references);
        const Walked alone = walk(*make_local_comm(), vectors, threshold, references);
        ASSERT_EQ(alone.dropped_by, expected) << dimension << " " << threshold;
        EXPECT_EQ(alone.kept, std::count(expected.begin(), expected.end(), -1));
        for (const int ranks : {2, 3, 5}) {
          run_on_threads(ranks, [&](Comm& comm) {
            EXPECT_EQ(walk(comm, vectors, threshold, references, 130).dropped_by, expected);
          });
        }
      }
    }
  }
}

TEST(NearWalk, ThreadsAndPiecesChangeNothing) {
  const Vectors vectors = clustered(600, 24, 80, 0.4);
  for (const References references : {References::kept, References::seen}) {
    const auto expected = serial_walk(vectors, 0.9, references);
    for (const std::int64_t at_once : {1, 7, 63, 64, 65, 599}) {
      EXPECT_EQ(walk(*make_local_comm(), vectors, 0.9, references, at_once).dropped_by, expected);
      run_on_threads(2, [&](Comm& comm) {
        EXPECT_EQ(walk(comm, vectors, 0.9, references, at_once, kAll, on_three_threads).dropped_by, expected);
      });
    }
  }
}

TEST(NearWalk, GoesOnBeyondItsOwnBlocks) {
  const Vectors vectors = clustered(6000, 8, 2500, 0.05);
  for (const References references : {References::kept, References::seen}) {
    const auto expected = serial_walk(vectors, 0.97, references);
    EXPECT_GT(std::count(expected.begin(), expected.end(), -1), 512);
    EXPECT_GT(*std::max_element(expected.begin(), expected.end()), 4096);
    EXPECT_EQ(walk(*make_local_comm(), vectors, 0.97, references, kAll, kAll, on_three_threads).dropped_by,
              expected);
    run_on_threads(
        3, [&](Comm& comm) { EXPECT_EQ(walk(comm, vectors, 0.97, references).dropped_by, expected); });
  }
}

TEST(NearWalk, StopsWhereEnoughAreKept) {
  const Vectors vectors = clustered(500, 12, 100, 0.3);
  for (const std::int64_t most_kept : {1, 2, 37, 64}) {
    const auto expected = serial_walk(vectors, 0.9, References::kept, most_kept);
    ASSERT_LT(expected.size(), 500u);
    for (const std::int64_t at_once : {10, 500}) {
      run_on_threads(2, [&](Comm& comm) {
        const Walked walked = walk(comm, vectors, 0.9, References::kept, at_once, most_kept);
        EXPECT_EQ(walked.dropped_by, expected);
        EXPECT_EQ(walked.kept, most_kept);
      });
    }
  }
}

TEST(NearWalk, OfEqualRecordsTheFirstStands) {
  const std::vector<float> row = {0.6f, 0.0f, 0.8f};
  Vectors vectors{3, {}};
  for (int i = 0; i < 300; ++i) vectors.rows.insert(vectors.rows.end(), row.begin(), row.end());
  for (const References references : {References::kept, References::seen}) {
    std::vector<std::int64_t> expected(300, 0);
    expected[0] = -1;
    EXPECT_EQ(walk(*make_local_comm(), vectors, 0.99, references).dropped_by, expected);
    // Nothing is above a cosine of 1.
    EXPECT_EQ(walk(*make_local_comm(), vectors, 1.0, references).kept, 300);
  }
}

/// Of equal vectors, but texts that are longer than what the encoder read of them.
TEST(NearWalk, LongTextsAreDroppedForEqualTextsOnly) {
  const Vectors vectors = clustered(900, 6, 3, 0.01);  // all of a cluster are near
  std::vector<std::int64_t> long_texts(900, 0);
  for (std::size_t i = 0; i < 900; ++i) {
    if (i % 3 != 0) long_texts[i] = 1 + static_cast<std::int64_t>(uniform(5, 9, i) * 40);
  }
  for (const References references : {References::kept, References::seen}) {
    std::vector<std::int64_t> expected;
    for (std::size_t i = 0; i < 900; ++i) {
      std::int64_t by = -1;
      for (std::size_t j = 0; j < i && by < 0; ++j) {
        const bool stands = references == References::seen || expected[j] < 0;
        const bool near =
            long_texts[i] == 0 && long_texts[j] == 0
                ? cosine(vectors, static_cast<std::int64_t>(i), static_cast<std::int64_t>(j)) > 0.9f
                : long_texts[i] == long_texts[j];
        if (stands && near) by = static_cast<std::int64_t>(j);
      }
      expected.push_back(by);
    }
    EXPECT_EQ(std::count(expected.begin(), expected.end(), -1), 43);
    for (const std::size_t at_once : {900, 50, 1}) {
      run_on_threads(2, [&](Comm& comm) {
        NearWalk walk(6, 0.9, references);
        for (std::size_t first = 0; first < 900; first += at_once)
          walk.take(comm, std::span(vectors.rows).subspan(first * 6, at_once * 6), kAll,
                    std::span(long_texts).subspan(first, at_once));
        EXPECT_EQ(walk.dropped_by(), expected);
      });
    }
    NearWalk none(6, 1.0, references);
    none.take(*make_local_comm(), vectors.rows, kAll, long_texts);
    EXPECT_EQ(none.kept(), 900);
  }
}

TEST(NearWalk, NothingToTake) {
  NearWalk walk(4, 0.9, References::kept);
  EXPECT_EQ(walk.take(*make_local_comm(), {}, 10), 0u);
  EXPECT_TRUE(walk.dropped_by().empty());
}

}  // namespace
}  // namespace rocket
