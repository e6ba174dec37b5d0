// The ranks of an MPI job.
#pragma once

#include <cstddef>
#include <memory>

#include "comm/comm.h"

namespace rocket {

/// Collective. MPI_Init_thread(MULTIPLE) on first use; the Comm that started MPI finalizes it when it is
/// destroyed and no error is in flight. Throws internal (70) if the library cannot do MPI_THREAD_MULTIPLE,
/// config (78) where the launcher has started several tasks and MPI sees each alone. MPI counts with int, so
/// what is longer than `piece` elements goes in pieces.
std::unique_ptr<Comm> make_mpi_comm(std::size_t piece = std::size_t{1} << 30);

/// The library's own version line; starts nothing.
std::string mpi_version();

}  // namespace rocket
