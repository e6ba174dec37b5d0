// The text of `rocket --version`: a shared library of its own, so that `rocket` itself loads no MPI and no
// HDF5 and is ready for signals at once.
#include "base/version.h"

#include <string>

#include "base/error.h"
#include "comm/mpi_comm.h"
#include "comm/reducer.h"
#include "store/hdf5.h"

extern "C" const char* rocket_version_text() {
  using namespace rocket;
  static const std::string text =
      fmt::format("rocket {}\nLibTorch {}\nCUDA {}\nNCCL {}\n{}\nHDF5 {}", version(), libtorch_version(),
                  cuda_version(), nccl_version(), mpi_version(), hdf5_version());
  return text.c_str();
}
