// Stands in for nccl_reducer.cpp in builds without CUDA and NCCL.
#include "base/error.h"
#include "comm/reducer.h"

namespace rocket {

bool nccl_available() {
  return false;
}

std::string nccl_version() {
  return "none";
}

std::unique_ptr<Reducer> make_nccl_reducer(Comm& comm, int, const NcclOptions&) {
  agree(comm, [] {
    fail_config("this rocket was built without NCCL: use device: cpu, or build with -DROCKET_CUDA=ON");
  });
  return nullptr;
}

}  // namespace rocket
