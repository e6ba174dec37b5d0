// What the tests of the kernels share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "kernels/kernels.h"

namespace rocket::test {

using Floats = std::vector<float>;

inline Floats random_floats(std::int64_t count, unsigned seed, float scale = 1, float mean = 0) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(mean, scale);
  Floats values(static_cast<std::size_t>(count));
  std::ranges::generate(values, [&] { return normal(generator); });
  return values;
}

inline const auto kEverySet = testing::Values("portable", "avx2", "avx512", "avx512_bf16");

/// Every instruction set that this machine has.
class EachSetTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    k = kernels_named(GetParam());
    if (k == nullptr) GTEST_SKIP() << "this machine has no " << GetParam();
  }
  const Kernels* k = nullptr;
};

}  // namespace rocket::test
