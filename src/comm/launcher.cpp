#include "comm/launcher.h"

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
constexpr const char* kSizes[] = {"SLURM_STEP_NUM_TASKS", "PMI_SIZE",       "MV2_COMM_WORLD_SIZE",
                                  "JSM_NAMESPACE_SIZE",   "PMI_LOCAL_SIZE", "MPI_LOCALNRANKS",
                                  "PALS_LOCAL_SIZE"};
constexpr const char* kRanks[] = {"PMIX_RANK", "PMI_RANK", "PALS_RANKID", "MV2_COMM_WORLD_RANK"};

}  // namespace

Launch launch_of_environment() {
  if (const int size = number_in("OMPI_COMM_WORLD_SIZE"); size > 0) return {size, "OMPI_COMM_WORLD_SIZE"};
  Launch launch{0, ""};
  for (const char* variable : kSizes) {
    if (const int size = number_in(variable); size > launch.tasks) launch = {size, variable};
  }
  for (const char* variable : kRanks) {
    const int rank = number_in(variable);
    if (rank >= 0 && launch.variable.empty()) launch.variable = variable;
    if (rank > 0 && rank >= launch.tasks) launch = {rank + 1, variable};
  }
  return launch.variable.empty() ? Launch{} : launch;
}

bool launched_by_mpi() {
  return launch_of_environment().tasks != 1;
}

}  // namespace rocket
