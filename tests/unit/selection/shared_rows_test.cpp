#include "selection/shared_rows.h"

#include <gtest/gtest.h>

namespace rocket {
namespace {

TEST(SharedRows, EveryRankGetsTheRowsInTheOrderAskedFor) {
  const std::int64_t records = 23, dimension = 2, unit_size = 4;
  for (const int ranks : {1, 2, 3, 9}) {
    run_on_threads(ranks, [&](Comm& comm) {
      SharedRows rows(dimension, unit_size);
      for (std::int64_t unit = comm.rank(); unit * unit_size < records; unit += comm.size()) {
        std::vector<float> mine;
        for (std::int64_t r = unit * unit_size; r < std::min(records, (unit + 1) * unit_size); ++r) {
          mine.insert(mine.end(), {static_cast<float>(r), static_cast<float>(-r)});
        }
        rows.put(unit, mine);
      }
      const std::vector<std::int64_t> wanted = {22, 0, 5, 5, 17, 3, 4, 21};
      const std::vector<float> found = rows.gather(comm, wanted);
      ASSERT_EQ(found.size(), wanted.size() * 2);
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        EXPECT_EQ(found[2 * i], static_cast<float>(wanted[i]));
        EXPECT_EQ(found[2 * i + 1], static_cast<float>(-wanted[i]));
      }
      EXPECT_TRUE(rows.gather(comm, {}).empty());
    });
  }
}

}  // namespace
}  // namespace rocket
