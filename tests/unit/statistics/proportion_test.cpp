#include "statistics/proportion.h"

#include <gtest/gtest.h>

namespace rocket {
namespace {

TEST(Wilson, AgreesWithScipy) {
  const auto near = [](std::int64_t correct, std::int64_t items, double low, double high) {
    const auto [found_low, found_high] = wilson_interval(correct, items);
    EXPECT_NEAR(found_low, low, 1e-12);
    EXPECT_NEAR(found_high, high, 1e-12);
  };
  near(260, 300, 0.8235282379361116, 0.9005335831658879);
  near(0, 50, 0.0, 0.07134759913335872);
  near(50, 50, 0.9286524008666412, 1.0);
  near(1, 3, 0.06149194472039626, 0.7923403991979523);
  near(4800, 5000, 0.9542058586128747, 0.9650878555976729);
  EXPECT_EQ(wilson_interval(0, 0), std::make_pair(0.0, 1.0));
}

}  // namespace
}  // namespace rocket
