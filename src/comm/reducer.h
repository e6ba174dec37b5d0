// Sum of gradients over ranks. Host (any Comm) or NCCL (device memory); a stub where NCCL is absent.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "comm/comm.h"

namespace rocket {

class Reducer {
 public:
  virtual ~Reducer() = default;
  /// Collective. In-place sum over ranks of `count` float32 values; `data` is device memory for NCCL.
  virtual void sum(Comm& comm, float* data, std::size_t count) = 0;
};

std::unique_ptr<Reducer> make_host_reducer();

/// True where rocket was built with NCCL and the library is on this machine.
bool nccl_available();
/// "2.28.3", or "none" where NCCL is not available. Needs no GPU.
std::string nccl_version();
/// Collective: the communicator is set up through `comm`; every rank needs a device of its own. Throws config
/// (78) where NCCL is absent, internal (70) naming the rank where it fails or does not end in time, as does
/// sum().
std::unique_ptr<Reducer> make_nccl_reducer(Comm& comm, int device);

}  // namespace rocket
