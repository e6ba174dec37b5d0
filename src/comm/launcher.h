// What the environment says of the launcher (mpirun, srun, mpiexec, ...) that started this process.
#pragma once

#include <string>

namespace rocket {

struct Launch {
  int tasks = 1;         // how many were started together, at least; 0: a launcher that does not say
  std::string variable;  // that says so; empty: no launcher
  int rank = -1;         // of this process among them; -1: not known
  std::string note;      // what the user would want to know of it; may be empty
};

/// True for a command that was typed in a shell: it has a terminal, and a process group of its own in the
/// shell's session (job control). False for what a launcher started itself on a terminal, as `srun --pty`
/// does.
bool typed_at_a_terminal();

/// Of nested launchers Open MPI's own counts, since it is the one that starts ranks: `mpirun -np 1` in a
/// Slurm step of four is one. A shell in a Slurm step of one task is one, whatever other variables the step
/// has; so is a shell that `srun --pty` has opened in a step of several, whose other tasks run no rank
/// (`typed`).
Launch launch_of_environment(bool typed = typed_at_a_terminal());

/// True where this process is one of several ranks, or may be: a lone rank needs no MPI.
bool launched_by_mpi();

}  // namespace rocket
