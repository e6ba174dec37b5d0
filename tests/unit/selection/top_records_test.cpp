#include "selection/top_records.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace rocket {
namespace {

std::vector<std::int64_t> numbers(const std::vector<RankedRecord>& records) {
  std::vector<std::int64_t> result;
  for (const RankedRecord& record : records) result.push_back(record.record);
  return result;
}

/// Few keys and fewer similarities, so that ties are the rule.
std::vector<RankedRecord> crowd(std::int64_t count, double keys) {
  std::vector<RankedRecord> records;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto n = static_cast<std::uint64_t>(i);
    records.push_back(
        {std::floor(uniform(1, 0, n) * keys), static_cast<float>(std::floor(uniform(1, 1, n) * 3)), i});
  }
  return records;
}

TEST(TopRecords, IsAFullSort) {
  for (const double keys : {1.0, 4.0, 1e9}) {
    const auto records = crowd(3000, keys);
    auto sorted = records;
    std::stable_sort(sorted.begin(), sorted.end(), [](const RankedRecord& a, const RankedRecord& b) {
      return a.key != b.key ? a.key > b.key : a.similarity > b.similarity;
    });
    for (const std::size_t most : {1u, 2u, 100u, 2999u, 3000u, 5000u}) {
      auto expected = sorted;
      expected.resize(std::min(most, sorted.size()));
      std::sort(expected.begin(), expected.end(), [](const RankedRecord& a, const RankedRecord& b) {
        return a.similarity != b.similarity ? a.similarity > b.similarity : a.record < b.record;
      });
      for (const int ranks : {1, 2, 3, 4, 7, 8}) {
        run_on_threads(ranks, [&](Comm& comm) {
          TopRecords top(static_cast<std::int64_t>(most));
          for (const RankedRecord& record : records) {
            if ((record.record / 10) % comm.size() == comm.rank()) top.offer(record);
          }
          EXPECT_EQ(numbers(std::move(top).walk(comm)), numbers(expected))
              << keys << " " << most << " " << ranks;
        });
      }
    }
  }
}

TEST(TopRecords, RanksWithoutRecords) {
  run_on_threads(5, [](Comm& comm) {
    TopRecords top(3);
    if (comm.rank() == 4) top.offer({1, 1, 8});
    EXPECT_EQ(numbers(std::move(top).walk(comm)), std::vector<std::int64_t>{8});
    EXPECT_TRUE(TopRecords(3).walk(comm).empty());
  });
}

}  // namespace
}  // namespace rocket
