#include "backend/backend.h"

#include <map>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/graphs.h"

namespace rocket {

const Backend& cpu_backend() {
  static const CpuBackend backend;
  return backend;
}

const Backend& torch_backend() {
  static const TorchBackend backend;
  return backend;
}

namespace {

std::map<at::DeviceType, const Backend*>& added_backends() {
  static std::map<at::DeviceType, const Backend*> backends;
  return backends;
}

}  // namespace

void add_backend(at::DeviceType type, const Backend& backend) {
  added_backends()[type] = &backend;
}

const Backend& backend_for(at::Device device, at::ScalarType compute) {
  static const CudaBackend cuda(gpu_steps(), &cuda_graphs);
  if (device.is_cuda()) return cuda;
  if (const auto added = added_backends().find(device.type()); added != added_backends().end())
    return *added->second;
  const bool kernels_compute = device.is_cpu() && (compute == at::kFloat || compute == at::kBFloat16);
  return kernels_compute ? cpu_backend() : torch_backend();
}

}  // namespace rocket
