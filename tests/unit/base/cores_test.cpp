#include "base/cores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <cstdlib>
#include <numeric>

namespace rocket {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<int> cores(int first, int count) {
  std::vector<int> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

/// Ranks of Open MPI's mpirun on a node of 64 cores.
std::vector<RankCores> bound(const std::vector<std::vector<int>>& masks, int of = 64) {
  std::vector<RankCores> ranks;
  for (const auto& mask : masks) ranks.push_back({.allowed = mask, .launcher = cores(0, of)});
  return ranks;
}

TEST(ShareCores, ALoneProcessUsesAllThatItMay) {
  const RankCores alone{.allowed = cores(0, 64)};
  const NodeThreads node = share_cores(std::span(&alone, 1));
  EXPECT_THAT(node.threads, ElementsAre(64));
  EXPECT_EQ(node.unbound, 0);
}

// `taskset -c 3,5 rocket run`: asked for, so nothing to warn of.
TEST(ShareCores, ATasksetIsNoBindingOfALauncher) {
  const RankCores alone{.allowed = {3, 5}};
  const NodeThreads node = share_cores(std::span(&alone, 1));
  EXPECT_THAT(node.threads, ElementsAre(2));
  EXPECT_EQ(node.unbound, 0);
}

TEST(ShareCores, MpirunWithOneOrTwoRanksBindsToCores) {
  EXPECT_THAT(share_cores(bound({{0}})).threads, ElementsAre(1));
  EXPECT_EQ(share_cores(bound({{0}})).unbound, 63);
  const NodeThreads two = share_cores(bound({{0}, {1}}));
  EXPECT_THAT(two.threads, ElementsAre(1, 1));
  EXPECT_EQ(two.cores, 2);
  EXPECT_EQ(two.unbound, 62);
}

TEST(ShareCores, RanksOfTwoNumaNodesShareEachNodesCores) {
  const NodeThreads node = share_cores(bound({cores(0, 32), cores(32, 32), cores(0, 32), cores(32, 32)}));
  EXPECT_THAT(node.threads, ElementsAre(16, 16, 16, 16));
  EXPECT_EQ(node.unbound, 0);
}

TEST(ShareCores, RanksWithCoresOfTheirOwnUseAllOfThem) {  // --map-by slot:PE=16
  const NodeThreads node = share_cores(bound({cores(0, 16), cores(16, 16), cores(32, 16), cores(48, 16)}));
  EXPECT_THAT(node.threads, ElementsAre(16, 16, 16, 16));
  EXPECT_EQ(node.unbound, 0);
  const NodeThreads fewer = share_cores(bound({cores(0, 16), cores(16, 16)}));
  EXPECT_THAT(fewer.threads, ElementsAre(16, 16));
  EXPECT_EQ(fewer.unbound, 32);
}

TEST(ShareCores, UnboundRanksDivideTheNode) {
  EXPECT_THAT(share_cores(bound(std::vector(4, cores(0, 64)))).threads, ElementsAre(16, 16, 16, 16));
  EXPECT_THAT(share_cores(bound(std::vector(3, cores(0, 64)))).threads, ElementsAre(22, 21, 21));
  EXPECT_THAT(share_cores(bound(std::vector(4, cores(0, 2)), 2)).threads, ElementsAre(1, 1, 1, 1));
}

TEST(ShareCores, MasksThatOverlapInPartAreSharedFairly) {
  EXPECT_THAT(share_cores(bound({cores(0, 4), cores(0, 2)}, 4)).threads, ElementsAre(3, 1));
  EXPECT_THAT(share_cores(bound({cores(0, 2), cores(1, 2), cores(2, 2)}, 4)).threads, ElementsAre(2, 1, 1));
  const NodeThreads uneven = share_cores(bound({cores(0, 8), cores(8, 2)}, 10));
  EXPECT_THAT(uneven.threads, ElementsAre(8, 2));
}

TEST(ShareCores, AQuotaOfTheControlGroupIsShared) {
  std::vector<RankCores> ranks = bound(std::vector(4, cores(0, 64)));
  for (RankCores& rank : ranks) rank.quota = 6.5, rank.quota_group = "/sys/fs/cgroup/box";
  const NodeThreads node = share_cores(ranks);
  EXPECT_THAT(node.threads, ElementsAre(2, 2, 1, 1));
  EXPECT_EQ(node.cores, 6);
  EXPECT_THAT(node.source, HasSubstr("/sys/fs/cgroup/box"));
  for (RankCores& rank : ranks) rank.quota = 0.5;
  EXPECT_THAT(share_cores(ranks).threads, ElementsAre(1, 1, 1, 1));
}

// A container for each rank.
TEST(ShareCores, QuotasOfSeveralGroupsAreTheirOwn) {
  std::vector<RankCores> ranks = bound(std::vector(2, cores(0, 64)));
  ranks[0].quota = 4, ranks[0].quota_group = "a";
  ranks[1].quota = 8, ranks[1].quota_group = "b";
  EXPECT_THAT(share_cores(ranks).threads, ElementsAre(4, 8));
}

// A bound rank under a quota: no core is idle that it could have used.
TEST(ShareCores, WhatAQuotaForbidsIsNotIdle) {
  std::vector<RankCores> ranks = bound({cores(0, 4)});
  ranks[0].quota = 4, ranks[0].quota_group = "a";
  EXPECT_EQ(share_cores(ranks).unbound, 0);
  ranks[0].quota = 6;
  EXPECT_EQ(share_cores(ranks).unbound, 2);
}

// A cluster that confines nobody: every task sees the whole node.
TEST(ShareCores, ABatchJobUsesNoMoreThanItWasGiven) {
  std::vector<RankCores> ranks(2, RankCores{.allowed = cores(0, 64), .allotted = 16});
  const NodeThreads node = share_cores(ranks);
  EXPECT_THAT(node.threads, ElementsAre(8, 8));
  EXPECT_EQ(node.source, "SLURM_CPUS_ON_NODE");
  EXPECT_EQ(node.cores, 16);
}

TEST(ShareCores, BindingOfABatchJobLeavesOnlyTheJobsOwnCoresIdle) {
  std::vector<RankCores> ranks = bound({{0}, {1}});
  for (RankCores& rank : ranks) rank.allotted = 16;
  EXPECT_EQ(share_cores(ranks).unbound, 14);
}

TEST(ShareCores, OmpNumThreadsWinsAndWhatItLeavesIdleIsCounted) {
  std::vector<RankCores> ranks = bound(std::vector(4, cores(0, 64)));
  for (RankCores& rank : ranks) rank.wanted = 1;
  const NodeThreads node = share_cores(ranks);
  EXPECT_THAT(node.threads, ElementsAre(1, 1, 1, 1));
  EXPECT_EQ(node.source, "OMP_NUM_THREADS");
  EXPECT_EQ(node.unused, 60);
  for (RankCores& rank : ranks) rank.wanted = 16;
  EXPECT_EQ(share_cores(ranks).unused, 0);
}

TEST(ShareCores, AMaskThatCannotBeReadIsOneThread) {
  const RankCores unknown;
  EXPECT_THAT(share_cores(std::span(&unknown, 1)).threads, ElementsAre(1));
}

TEST(CoresOfProcess, AreItsAffinityMask) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  const std::vector<int> all = cores_of_process().allowed;
  EXPECT_EQ(static_cast<int>(all.size()), CPU_COUNT(&before));
  CPU_ZERO(&one);
  CPU_SET(all.back(), &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_THAT(cores_of_process().allowed, ElementsAre(all.back()));
  sched_setaffinity(0, sizeof before, &before);
}

TEST(CoresOfProcess, TakeOpenMpsFirstLevelOfThreads) {
  const char* old = std::getenv("OMP_NUM_THREADS");
  const std::string kept = old != nullptr ? old : "";
  ::setenv("OMP_NUM_THREADS", "3,1", 1);
  EXPECT_EQ(cores_of_process().wanted, 3);
  ::setenv("OMP_NUM_THREADS", "many", 1);
  EXPECT_EQ(cores_of_process().wanted, 0);
  old != nullptr ? ::setenv("OMP_NUM_THREADS", kept.c_str(), 1) : ::unsetenv("OMP_NUM_THREADS");
}

}  // namespace
}  // namespace rocket
