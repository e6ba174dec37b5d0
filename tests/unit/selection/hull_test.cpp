#include "selection/hull.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/random.h"

namespace rocket {
namespace {

using nlohmann::json;

std::vector<float> unit(const json& row) {
  const auto numbers = row.get<std::vector<double>>();
  const double norm = std::sqrt(std::inner_product(numbers.begin(), numbers.end(), numbers.begin(), 0.0));
  std::vector<float> result;
  for (double x : numbers) {
    result.push_back(static_cast<float>(x / norm));
  }
  return result;
}

TEST(Hull, AgreesWithCertifiedDistances) {
  std::ifstream file("tests/data/selection/hull.json");
  for (const json& data : json::parse(file)) {
    std::vector<float> points;
    for (const json& row : data["shots"]) {
      const auto point = unit(row);
      points.insert(points.end(), point.begin(), point.end());
    }
    const Hull hull(points, static_cast<std::int64_t>(data["shots"].size()));
    for (std::size_t i = 0; i < data["rows"].size(); ++i) {
      EXPECT_NEAR(hull.squared_distance(unit(data["rows"][i]).data()),
                  data["squared_distance"][i].get<double>(), 1e-11);
    }
  }
}

TEST(Hull, IsZeroInside) {
  const std::vector<float> triangle = {0, 0, 4, 0, 0, 4};
  const Hull hull(triangle, 3);
  const auto squared_distance = [&](float x, float y) {
    const float point[] = {x, y};
    return hull.squared_distance(point);
  };
  EXPECT_NEAR(squared_distance(1, 1), 0, 1e-11);
  EXPECT_NEAR(squared_distance(2, 2), 0, 1e-11);
  EXPECT_NEAR(squared_distance(4, 0), 0, 1e-11);
  EXPECT_NEAR(squared_distance(-3, 2), 9, 1e-11);
  EXPECT_NEAR(squared_distance(4, 4), 8, 1e-11);
  EXPECT_NEAR(squared_distance(7, -4), 25, 1e-11);
}

TEST(Hull, EqualAndAlmostEqualPointsDoNoHarm) {
  const std::int64_t d = 12;
  std::vector<float> points;
  for (std::int64_t p = 0; p < 30; ++p) {
    for (std::int64_t i = 0; i < d; ++i) {
      const auto index = static_cast<std::uint64_t>(p % 3 * d + i);
      const double jitter = p < 15 ? 0 : 1e-7 * uniform(1, 1, static_cast<std::uint64_t>(p * d + i));
      points.push_back(static_cast<float>(uniform(1, 0, index) - 0.5 + jitter));
    }
  }
  const std::vector<float> x(static_cast<std::size_t>(d), 0.25f);
  const double few =
      Hull(std::span(points).first(static_cast<std::size_t>(3 * d)), 3).squared_distance(x.data());
  const double many = Hull(points, 30).squared_distance(x.data());
  EXPECT_LE(many, few + 1e-11);
  EXPECT_NEAR(many, few, 1e-5);
}

}  // namespace
}  // namespace rocket
