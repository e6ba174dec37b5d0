// Launches that are recorded and repeated, as CUDA graphs repeat them: the same launches on the same memory,
// whatever the host computes by then.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/graph.h"
#include "device/counts.h"
#include "device/host_view.h"

namespace rocket::emulated {

/// Whether this thread records.
bool capturing();
/// Throws while this thread records: what the host does here is in no graph.
void refuse_in_capture(const char* what);

// To be called while this thread records.
/// A launch, for the counters.
void record_launch(const std::string& name, const Work& work);
/// One whose work depends on values: asked for each time.
void record_launch(const std::string& name, std::function<Work()> work);
/// What it computes, into memory that is already there.
void record_computing(std::function<void()> again);
/// Memory that the graph uses is nobody else's. All of it: the pool of a real one uses what is freed again.
/// None where arithmetic is skipped, so that what is counted then is what a step takes.
void keep_memory(const at::Tensor& x);

/// As CaptureLaunches. The launches also compute once while they are recorded.
std::unique_ptr<LaunchGraph> capture(at::Device device, const std::function<void()>& work,
                                     LaunchGraph* beside);
/// Null while a WithoutGraphs lives.
CaptureLaunches graphs();

/// While it lives, the device has no graphs.
class WithoutGraphs {
 public:
  WithoutGraphs();
  ~WithoutGraphs();
  WithoutGraphs(const WithoutGraphs&) = delete;
  WithoutGraphs& operator=(const WithoutGraphs&) = delete;
};

/// New tensors of the device with the values that compute() gives, a vector of tensors of the CPU.
template <class Compute>
std::vector<at::Tensor> computed(at::Device device, const Compute& compute) {
  std::vector<at::Tensor> results;
  for (const at::Tensor& x : compute()) results.push_back(moved_to_device(x, device));
  if (capturing()) {
    record_computing([=] {
      const std::vector<at::Tensor> values = compute();
      for (std::size_t i = 0; i < values.size(); ++i) host_view(results[i]).copy_(values[i]);
    });
  }
  return results;
}

}  // namespace rocket::emulated
