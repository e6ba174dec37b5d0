// What the environment says of the launcher (mpirun, srun, mpiexec, ...) that started this process.
#pragma once

#include <string>

namespace rocket {

struct Launch {
  int tasks = 1;         // how many were started together, at least; 0: a launcher that does not say
  std::string variable;  // that says so; empty: no launcher
};

/// Of nested launchers Open MPI's own counts, since it is the one that starts ranks: `mpirun -np 1` in a
/// Slurm step of four is one. A shell in a Slurm step of one task is one, whatever other variables the step
/// has.
Launch launch_of_environment();

/// True where this process is one of several ranks, or may be: a lone rank needs no MPI.
bool launched_by_mpi();

}  // namespace rocket
