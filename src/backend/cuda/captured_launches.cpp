// A library of its own, librocket_cuda_graphs.so: it alone is linked with LibTorch's CUDA half (graphs.h).
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "backend/cuda/graphs.h"

namespace rocket {
namespace {

class CudaGraph final : public LaunchGraph {
 public:
  CudaGraph(int device, const std::function<void(void*)>& work, CudaGraph* beside) {
    const c10::cuda::CUDAGuard on_device(static_cast<c10::DeviceIndex>(device));
    // The default stream cannot be recorded.
    const c10::cuda::CUDAStreamGuard in_stream(c10::cuda::getStreamFromPool());
    graph_.capture_begin(beside != nullptr ? beside->graph_.pool() : at::cuda::MempoolId_t{0, 0},
                         cudaStreamCaptureModeThreadLocal);
    try {
      work(in_stream.current_stream().stream());
    } catch (...) {
      give_up();
      throw;
    }
    graph_.capture_end();
  }
  void replay() override { graph_.replay(); }

 private:
  /// Ends a recording that has failed, so that the device computes again.
  void give_up() noexcept {
    try {
      graph_.capture_end();
    } catch (const std::exception&) {
      // It says once more what has failed.
    }
  }

  at::cuda::CUDAGraph graph_;
};

}  // namespace
}  // namespace rocket

extern "C" rocket::LaunchGraph* rocket_capture_launches(int device, const std::function<void(void*)>& work,
                                                        rocket::LaunchGraph* beside) {
  return new rocket::CudaGraph(device, work, static_cast<rocket::CudaGraph*>(beside));
}
