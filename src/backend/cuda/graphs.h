// CUDA graphs. LibTorch's are in its CUDA half, which only a library beside the program is linked with: it is
// opened where a GPU computes.
#pragma once

#include "backend/graph.h"

namespace rocket {

/// Null where rocket is built without the CUDA tool kit, or where that library cannot be opened; the log says
/// so once. To be asked when LibTorch's CUDA half is loaded.
CaptureLaunches cuda_graphs();

/// The library's function `rocket_capture_launches`. `work` is told the stream (a cudaStream_t) that it is
/// recorded in.
using CaptureInStream = LaunchGraph* (*)(int device, const std::function<void(void*)>& work,
                                         LaunchGraph* beside);

}  // namespace rocket
