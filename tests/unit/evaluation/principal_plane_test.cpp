#include "evaluation/principal_plane.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"

namespace rocket {
namespace {

using ::nlohmann::json;

TEST(PrincipalPlane, IsScikitLearns) {
  for (const json& one : json::parse(read_file("tests/data/selection/plane.json"))) {
    std::vector<float> rows;
    for (const json& row : one["rows"])
      for (const json& x : row) rows.push_back(x.get<float>());
    const auto n = one["rows"].size(), dimension = one["rows"][0].size();
    SCOPED_TRACE(n);
    const PrincipalPlane plane = principal_plane(rows, static_cast<std::int64_t>(dimension));
    ASSERT_EQ(plane.points.size(), n);
    for (std::size_t a = 0; a < 2; ++a) {
      EXPECT_NEAR(plane.share[a], one["share"][a].get<double>(), 1e-6);
      for (std::size_t i = 0; i < n; ++i)
        EXPECT_NEAR(plane.points[i][a], one["points"][i][a].get<double>(), 1e-5) << i;
    }
  }
}

TEST(PrincipalPlane, TakesRowsThatSpanLess) {
  EXPECT_TRUE(principal_plane({}, 3).points.empty());
  const std::vector<float> same = {1, 2, 1, 2, 1, 2};
  for (const auto& point : principal_plane(same, 2).points) EXPECT_EQ(point, (std::array<double, 2>{0, 0}));
  EXPECT_EQ(principal_plane(std::vector<float>{1, 2, 3}, 3).points.size(), 1u);
  const PrincipalPlane line = principal_plane(std::vector<float>{1, 2, 6}, 1);
  EXPECT_EQ(line.points[2], (std::array<double, 2>{3, 0}));
  EXPECT_EQ(line.share[0], 1.0);
  const PrincipalPlane diagonal = principal_plane(std::vector<float>{0, 0, 1, 1, 2, 2}, 2);
  EXPECT_NEAR(diagonal.points[0][0], -std::sqrt(2), 1e-6);
  EXPECT_EQ(diagonal.points[0][1], 0);
}

}  // namespace
}  // namespace rocket
