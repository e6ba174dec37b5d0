#include "base/stop.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <thread>

namespace rocket {
namespace {

constexpr int kAll[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGTERM, SIGINT};

void wait_longer_than_one_sender() {
  std::this_thread::sleep_for(std::chrono::milliseconds(600));
}

class Stop : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    clear_stop_request();
    install_stop_signals(SecondSignal::ends_at_once);
  }
  void TearDown() override {
    clear_stop_request();
    for (int signal : kAll) {
      ::signal(signal, SIG_DFL);
    }
  }
};

TEST_P(Stop, OneSignalAsks) {
  EXPECT_FALSE(stop_requested());
  ::raise(GetParam());
  EXPECT_TRUE(stop_requested());
}

// `timeout` signals the process and its group, a launcher the ranks that its own group has reached already.
TEST_P(Stop, SignalsOfOneSenderOnlyAsk) {
  for (int i = 0; i < 3; ++i) ::raise(GetParam());
  EXPECT_TRUE(stop_requested());
}

// A stop that came from another rank is not a first signal.
TEST_P(Stop, OneSignalAfterARequestStillOnlyAsks) {
  request_stop();
  wait_longer_than_one_sender();
  ::raise(GetParam());
  EXPECT_TRUE(stop_requested());
}

TEST_P(Stop, ARankOfALauncherIsNeverEndedAtOnce) {
  install_stop_signals(SecondSignal::only_asks);
  ::raise(GetParam());
  wait_longer_than_one_sender();
  ::raise(SIGTERM);
  EXPECT_TRUE(stop_requested());
}

TEST_P(Stop, WhatComesWhileSignalsAreHeldIsNotLost) {
  hold_stop_signals();
  ::signal(GetParam(), SIG_DFL);
  ::raise(GetParam());
  EXPECT_FALSE(stop_requested());
  install_stop_signals(SecondSignal::ends_at_once);
  EXPECT_TRUE(stop_requested());
}

INSTANTIATE_TEST_SUITE_P(Signals, Stop, ::testing::ValuesIn(kAll));

class SecondStop : public Stop {};

TEST_P(SecondStop, EndsAtOnceAndSaysWhatIsLost) {
  EXPECT_EXIT(
      {
        ::raise(SIGTERM);
        wait_longer_than_one_sender();
        ::raise(GetParam());
        std::exit(1);
      },
      ::testing::ExitedWithCode(75), "since the last checkpoint or finished unit is lost");
}

INSTANTIATE_TEST_SUITE_P(Signals, SecondStop, ::testing::Values(SIGTERM, SIGINT));

// Batch systems send several: at the warning time, at the limit, to the step and to the script that forwards.
class Warning : public Stop {};

TEST_P(Warning, OnlyAsksHoweverOftenItComes) {
  ::raise(SIGTERM);
  wait_longer_than_one_sender();
  ::raise(GetParam());
  ::raise(GetParam());
  EXPECT_TRUE(stop_requested());
}

INSTANTIATE_TEST_SUITE_P(Signals, Warning, ::testing::Values(SIGUSR1, SIGUSR2, SIGHUP));

TEST(StopSignals, AHangUpThatNohupIgnoresStaysIgnored) {
  clear_stop_request();
  ::signal(SIGHUP, SIG_IGN);
  install_stop_signals(SecondSignal::ends_at_once);
  ::raise(SIGHUP);
  EXPECT_FALSE(stop_requested());
  for (int signal : kAll) ::signal(signal, SIG_DFL);
}

TEST(StopSignals, ReleasedSignalsKill) {
  EXPECT_EXIT(
      {
        hold_stop_signals();
        ::raise(SIGUSR1);
        release_stop_signals();
        std::exit(1);
      },
      ::testing::KilledBySignal(SIGUSR1), "");
}

}  // namespace
}  // namespace rocket
