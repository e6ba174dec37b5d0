#include "comm/launcher.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace rocket {
namespace {

/// The number in a variable; -1 where it is unset or no number.
int number_in(const char* variable) {
  const char* text = std::getenv(variable);
  char* end = nullptr;
  const long number = text == nullptr ? -1 : std::strtol(text, &end, 10);
  return text == nullptr || end == text || number < 0 ? -1 : static_cast<int>(number);
}

// How many tasks: of the step (Slurm), of the job (MPICH, Intel MPI, Slurm's PMI2, Flux, Cray PALS; MVAPICH;
// LSF's jsrun), or only of this node.
constexpr const char* kStepSize = "SLURM_STEP_NUM_TASKS";
constexpr const char* kSizes[] = {
    kStepSize,        "PMI_SIZE",        "MV2_COMM_WORLD_SIZE", "JSM_NAMESPACE_SIZE",
    "PMI_LOCAL_SIZE", "MPI_LOCALNRANKS", "PALS_LOCAL_SIZE"};
constexpr const char* kRanks[] = {"PMIX_RANK", "PMI_RANK", "PALS_RANKID", "MV2_COMM_WORLD_RANK"};

}  // namespace

bool typed_at_a_terminal() {
  const int terminal = ::open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0) return false;
  ::close(terminal);
  return ::getpgrp() != ::getsid(0);
}

Launch launch_of_environment(bool typed) {
  if (const int size = number_in("OMPI_COMM_WORLD_SIZE"); size > 0)
    return {size, "OMPI_COMM_WORLD_SIZE", number_in("OMPI_COMM_WORLD_RANK"), ""};
  if (const int tasks = number_in(kStepSize); tasks > 1 && typed && std::getenv("SLURM_PTY_PORT") != nullptr)
    return {
        .note = fmt::format(
            "this shell is one of the {} tasks of its Slurm step, and the others run no rocket: it runs as "
            "one process. `srun -n {} rocket ...` from outside starts {} ranks",
            tasks, tasks, tasks)};
  Launch launch{.tasks = 0};
  for (const char* variable : kSizes) {
    if (const int size = number_in(variable); size > launch.tasks) {
      launch.tasks = size;
      launch.variable = variable;
    }
  }
  for (const char* variable : kRanks) {
    const int rank = number_in(variable);
    launch.rank = std::max(launch.rank, rank);
    if (rank >= 0 && launch.variable.empty()) launch.variable = variable;
    if (rank > 0 && rank >= launch.tasks) {
      launch.tasks = rank + 1;
      launch.variable = variable;
    }
  }
  return launch.variable.empty() ? Launch{} : launch;
}

bool launched_by_mpi() {
  return launch_of_environment().tasks != 1;
}

}  // namespace rocket
