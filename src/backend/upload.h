// Small numbers that the host computes and a device reads.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <vector>

namespace rocket {

/// A CPU tensor on `device`. The host does not wait for the device: the values go through pinned memory.
at::Tensor upload(const at::Tensor& values, at::Device device);
/// [n] int64.
at::Tensor upload(std::span<const std::int64_t> values, at::Device device);

/// Tensors that stay where they are: while a Use lives, this thread's uploads go to them in the order of the
/// calls. Each Use uploads tensors of the same sizes; the one before it has reached the device by then.
class UploadSlots {
 public:
  class Use {
   public:
    explicit Use(UploadSlots& slots);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    UploadSlots* before_;
  };

 private:
  friend at::Tensor upload(const at::Tensor& values, at::Device device);
  struct Slot {
    at::Tensor pinned, on_device;
  };

  at::Tensor put(const at::Tensor& values, at::Device device);

  std::vector<Slot> slots_;
  std::size_t next_ = 0;
};

}  // namespace rocket
