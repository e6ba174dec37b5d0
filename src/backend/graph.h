// Launches that a device is told once, and then repeats at one word of the host.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <memory>

namespace rocket {

/// Recorded launches. The tensors that they read and write must stay where they are.
class LaunchGraph {
 public:
  virtual ~LaunchGraph() = default;
  /// All of them once more, on what their tensors hold by then. The host does not wait.
  virtual void replay() = 0;
};

/// Records the launches of `work` on a device; none computes before the first replay. `work` neither waits
/// for the device nor uploads. Memory that it gave back is shared with `beside`, which may be null: so what
/// one graph left is to be read before the other is replayed.
using CaptureLaunches = std::unique_ptr<LaunchGraph> (*)(at::Device device, const std::function<void()>& work,
                                                         LaunchGraph* beside);

/// What the launches of a step depend on, beside the number of its rows and the values of tensors.
struct StepLaunches {
  bool fixed = false;       // on nothing but the following
  std::int64_t memory = 0;  // another number whenever what they read has moved
  std::int64_t reach = 0;   // bound on the positions of a text
};

}  // namespace rocket
