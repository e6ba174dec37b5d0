#include "base/stop.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>

namespace rocket {
namespace {

class Stop : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    clear_stop_request();
    install_stop_signals();
  }
  void TearDown() override {
    clear_stop_request();
    for (int signal : {SIGUSR1, SIGTERM, SIGINT}) {
      ::signal(signal, SIG_DFL);
    }
  }
};

TEST_P(Stop, OneSignalAsks) {
  EXPECT_FALSE(stop_requested());
  ::raise(GetParam());
  EXPECT_TRUE(stop_requested());
}

TEST_P(Stop, TwoSignalsEndAtOnce) {
  EXPECT_EXIT(
      {
        ::raise(GetParam());
        ::raise(SIGTERM);
        std::exit(1);
      },
      ::testing::ExitedWithCode(75), "");
}

// A stop that came from another rank is not a first signal.
TEST_P(Stop, OneSignalAfterARequestStillOnlyAsks) {
  request_stop();
  ::raise(GetParam());
  EXPECT_TRUE(stop_requested());
}

INSTANTIATE_TEST_SUITE_P(Signals, Stop, ::testing::Values(SIGUSR1, SIGTERM, SIGINT));

}  // namespace
}  // namespace rocket
