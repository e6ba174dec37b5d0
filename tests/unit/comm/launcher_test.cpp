#include "comm/launcher.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

namespace rocket {
namespace {

using Environment = std::map<std::string, std::string>;

class Launcher : public ::testing::Test {
 protected:
  void SetUp() override { clear(); }
  void TearDown() override { clear(); }

  static void clear() {
    for (const char* name :
         {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE", "PMI_LOCAL_SIZE",
          "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "MPI_LOCALNRANKS", "PALS_RANKID", "PALS_LOCAL_SIZE",
          "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK", "JSM_NAMESPACE_SIZE", "SLURM_PTY_PORT"})
      ::unsetenv(name);
  }

  static Launch launch(const Environment& environment, bool typed = false) {
    clear();
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    return launch_of_environment(typed);
  }
};

TEST_F(Launcher, NoneMeansOneRank) {
  EXPECT_EQ(launch({}).tasks, 1);
  EXPECT_EQ(launch({}).variable, "");
  EXPECT_FALSE(launched_by_mpi());
}

TEST_F(Launcher, ABatchScriptIsNoStep) {
  EXPECT_EQ(launch({{"SLURM_NTASKS", "8"}}).tasks, 1);
}

// `srun --pty bash`, then `rocket run`: the step's PMIx variables are there, but nobody to meet.
TEST_F(Launcher, AShellInAStepOfOneTaskIsOneRank) {
  EXPECT_EQ(launch({{"SLURM_STEP_NUM_TASKS", "1"}, {"PMIX_RANK", "0"}}).tasks, 1);
  EXPECT_FALSE(launched_by_mpi());
  EXPECT_EQ(launch({{"SLURM_STEP_NUM_TASKS", "1"}, {"PMI_RANK", "0"}, {"PMI_SIZE", "1"}}).tasks, 1);
}

// `srun -n4 --pty bash`, then `rocket run`: the other three tasks run a bash, which has ended already.
TEST_F(Launcher, WhatIsTypedInAShellOfAStepOfSeveralIsOneRank) {
  const Environment shell = {{"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_PTY_PORT", "40123"}, {"PMIX_RANK", "0"}};
  EXPECT_EQ(launch(shell, true).tasks, 1);
  EXPECT_EQ(launch(shell, true).variable, "");
  EXPECT_NE(launch(shell, true).note.find("one of the 4 tasks"), std::string::npos);
  EXPECT_EQ(launch(shell, false).tasks, 4) << "srun -n4 --pty rocket run";
  EXPECT_EQ(launch({{"SLURM_STEP_NUM_TASKS", "4"}}, true).tasks, 4) << "a step without a terminal";
}

TEST_F(Launcher, EachOfThemSaysHowMany) {
  for (const Environment& environment :
       {Environment{{"OMPI_COMM_WORLD_SIZE", "3"}, {"PMIX_RANK", "0"}},
        Environment{{"SLURM_STEP_NUM_TASKS", "3"}},
        Environment{{"SLURM_STEP_NUM_TASKS", "3"}, {"PMIX_RANK", "1"}},
        Environment{{"PMI_RANK", "0"}, {"PMI_SIZE", "3"}, {"MPI_LOCALNRANKS", "2"}},
        Environment{{"MPI_LOCALNRANKS", "3"}}, Environment{{"PALS_RANKID", "2"}},
        Environment{{"PALS_RANKID", "0"}, {"PALS_LOCAL_SIZE", "3"}},
        Environment{{"MV2_COMM_WORLD_SIZE", "3"}, {"MV2_COMM_WORLD_RANK", "0"}},
        Environment{{"JSM_NAMESPACE_SIZE", "3"}, {"PMIX_RANK", "0"}}}) {
    EXPECT_EQ(launch(environment).tasks, 3) << environment.begin()->first;
    EXPECT_EQ(environment.count(launch_of_environment().variable), 1);
    EXPECT_TRUE(launched_by_mpi());
  }
}

TEST_F(Launcher, ARankAloneDoesNotSayHowMany) {
  EXPECT_EQ(launch({{"PMIX_RANK", "0"}}).tasks, 0);
  EXPECT_TRUE(launched_by_mpi());
}

TEST_F(Launcher, OpenMpiCountsWithinAStep) {
  EXPECT_EQ(launch({{"OMPI_COMM_WORLD_SIZE", "1"}, {"PMIX_RANK", "0"}, {"SLURM_STEP_NUM_TASKS", "4"}}).tasks,
            1);
  EXPECT_EQ(launch({{"OMPI_COMM_WORLD_SIZE", "4"}, {"SLURM_STEP_NUM_TASKS", "1"}}).tasks, 4);
}

}  // namespace
}  // namespace rocket
