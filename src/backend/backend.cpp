#include "backend/backend.h"

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/cuda_backend.h"

namespace rocket {

const Backend& cpu_backend() {
  static const CpuBackend backend;
  return backend;
}

const Backend& torch_backend() {
  static const TorchBackend backend;
  return backend;
}

const Backend& backend_for(at::Device device, at::ScalarType compute) {
  static const CudaBackend cuda;
  if (device.is_cuda()) return cuda;
  const bool kernels_compute = device.is_cpu() && (compute == at::kFloat || compute == at::kBFloat16);
  return kernels_compute ? cpu_backend() : torch_backend();
}

}  // namespace rocket
