// The ranks of an MPI job.
#pragma once

#include <cstddef>
#include <memory>

#include "comm/comm.h"

namespace rocket {

/// True where a launcher (mpirun, srun) has started this process as one of several ranks. A lone rank needs
/// no MPI; where the launcher does not tell how many there are, they count as several.
bool launched_by_mpi();

/// Collective. MPI_Init_thread(MULTIPLE) on first use; the Comm that started MPI finalizes it when it is
/// destroyed and no error is in flight. Throws internal (70) if the library cannot do MPI_THREAD_MULTIPLE,
/// config (78) where srun's tasks do not find each other. MPI counts with int, so what is longer than `piece`
/// elements goes in pieces.
std::unique_ptr<Comm> make_mpi_comm(std::size_t piece = std::size_t{1} << 30);

/// The library's own version line; starts nothing.
std::string mpi_version();

/// Number of ranks on this node and this rank's place among them. Collective.
struct NodePlace {
  int rank = 0;
  int size = 1;
};
NodePlace node_place(Comm& comm);

}  // namespace rocket
