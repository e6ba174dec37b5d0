// Where tensors live and how many threads compute.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>

#include "formats/tensors.h"

namespace rocket {

/// "auto", "cpu" or "cuda". LibTorch's CUDA half is loaded only where there is a GPU, so that one program
/// serves machines with and without GPUs. `local_rank` picks the GPU. Throws config (78) where `cuda` finds
/// no GPU, and where `auto` or `cuda` finds one that LibTorch cannot use.
at::Device choose_device(const std::string& name, int local_rank);

/// The device of a rank as other ranks may know it.
struct RankDevice {
  std::string kind;  // "cpu", "cuda"
  std::string unit;  // the same for ranks of a node that share it; empty: the CPU
};

/// What choose_device() gives. Throws as it does.
RankDevice rank_device(const std::string& name, int local_rank);

/// The most memory of `device` that LibTorch has held since the program began, in bytes; 0 for the CPU.
std::int64_t peak_device_bytes(at::Device device);

/// A kind of device that only tests have.
struct DeviceKind {
  std::string name;  // for `device:`
  at::Device (*choose)(int local_rank) = nullptr;
  std::string (*text)() = nullptr;  // as device_text() gives it
};

/// To be called before main().
void add_device_kind(const DeviceKind& kind);

/// "cpu", or the GPU that choose_device() would take, as its driver calls it: "NVIDIA H200 (1 on this node,
/// 139.8 GiB)". Loads nothing of LibTorch.
std::string device_text(const std::string& name);

/// Sets LibTorch's threads for this rank and switches the matrix library to results that do not depend on
/// their number. Call before any computation.
void configure_compute(int threads);
/// With the threads of the only rank on its node.
void configure_compute();

/// While it lives, what is computed on this device has the same bits each time: on a GPU LibTorch's attention
/// and sums by index otherwise add in any order, which is faster. On the CPU there is nothing to do.
class SameBits {
 public:
  explicit SameBits(at::Device device);
  ~SameBits();
  SameBits(const SameBits&) = delete;
  SameBits& operator=(const SameBits&) = delete;

 private:
  bool active_;
};

at::ScalarType scalar_type(DType dtype);
/// A tensor over the mapped bytes (no copy); the caller keeps the file alive.
at::Tensor as_tensor(const StoredTensor& stored);
/// A stored view of a contiguous CPU tensor; the caller keeps it alive.
StoredTensor as_stored(const std::string& name, const at::Tensor& tensor);

}  // namespace rocket
