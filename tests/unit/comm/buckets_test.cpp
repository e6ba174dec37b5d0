#include "comm/buckets.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "base/error.h"

namespace rocket {
namespace {

using Range = Buckets::Range;

std::vector<std::pair<std::size_t, std::size_t>> taken(Buckets& buckets) {
  std::vector<std::pair<std::size_t, std::size_t>> ranges;
  while (const auto range = buckets.take()) ranges.emplace_back(range->first, range->count);
  return ranges;
}

using Ranges = std::vector<std::pair<std::size_t, std::size_t>>;

TEST(Buckets, GoFromTheEndToTheBeginning) {
  Buckets buckets(10, 4);
  EXPECT_EQ(taken(buckets), Ranges());
  buckets.all_ready();
  EXPECT_EQ(taken(buckets), (Ranges{{6, 4}, {2, 4}, {0, 2}}));
  EXPECT_EQ(taken(buckets), Ranges()) << "each is given once";
}

TEST(Buckets, WaitForThoseBeforeThem) {
  Buckets buckets(10, 4);
  buckets.ready({0, 5});
  EXPECT_EQ(taken(buckets), Ranges()) << "the beginning comes last";
  buckets.ready({7, 3});
  EXPECT_EQ(taken(buckets), Ranges());
  buckets.ready({6, 1});
  EXPECT_EQ(taken(buckets), (Ranges{{6, 4}}));
  buckets.ready({5, 1});
  EXPECT_EQ(taken(buckets), (Ranges{{2, 4}, {0, 2}}));
}

TEST(Buckets, AnyOrderOfAnyPiecesGivesTheSameBuckets) {
  std::mt19937 random(7);
  for (int repeat = 0; repeat < 200; ++repeat) {
    const std::size_t count = 1 + random() % 100, size = 1 + random() % 20;
    Buckets whole(count, size), pieces(count, size);
    whole.all_ready();
    std::vector<Range> cuts;
    for (std::size_t first = 0; first < count;) {
      const std::size_t length = std::min(count - first, std::size_t{1 + random() % 30});
      cuts.push_back({first, length});
      first += length;
    }
    std::ranges::shuffle(cuts, random);
    std::vector<bool> ready(count);
    Ranges found;
    for (const Range& cut : cuts) {
      std::fill_n(ready.begin() + static_cast<std::ptrdiff_t>(cut.first), cut.count, true);
      pieces.ready(cut);
      for (const auto& [first, length] : taken(pieces)) {
        EXPECT_TRUE(std::all_of(ready.begin() + static_cast<std::ptrdiff_t>(first),
                                ready.begin() + static_cast<std::ptrdiff_t>(first + length),
                                [](bool r) { return r; }));
        found.emplace_back(first, length);
      }
    }
    EXPECT_EQ(found, taken(whole));
  }
}

TEST(Buckets, OfNothingThereIsNone) {
  Buckets buckets(0, 4);
  buckets.all_ready();
  EXPECT_EQ(taken(buckets), Ranges());
}

TEST(Buckets, ValuesAreReadyOnceAndExist) {
  Buckets buckets(10, 4);
  buckets.ready({6, 4});
  EXPECT_THROW(buckets.ready({9, 1}), Error);
  EXPECT_THROW(buckets.ready({8, 3}), Error);
}

}  // namespace
}  // namespace rocket
