#include "backend/cuda/graphs.h"

#include <dlfcn.h>

#include "base/log.h"
#include "kernels/gpu.h"

namespace rocket {
namespace {

CaptureInStream open_library() {
  void* library = dlopen("librocket_cuda_graphs.so", RTLD_NOW | RTLD_LOCAL);
  void* function = library != nullptr ? dlsym(library, "rocket_capture_launches") : nullptr;
  if (function == nullptr)
    log::warn("steps of generations are not captured in CUDA graphs, which makes short ones slower: {}",
              dlerror());
  return reinterpret_cast<CaptureInStream>(function);
}

CaptureInStream library() {
  static const CaptureInStream opened = open_library();
  return opened;
}

std::unique_ptr<LaunchGraph> capture(at::Device device, const std::function<void()>& work,
                                     LaunchGraph* beside) {
  const auto in_stream = [&](void* stream) {
    const GpuStream of_steps(stream);
    work();
  };
  return std::unique_ptr<LaunchGraph>(library()(device.index(), in_stream, beside));
}

}  // namespace

CaptureLaunches cuda_graphs() {
  return gpu_steps() != nullptr && library() != nullptr ? &capture : nullptr;
}

}  // namespace rocket
