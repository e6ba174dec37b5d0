#include "backend/cuda/memory.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>

#include "backend/cuda/cuda_backend.h"

namespace rocket {

std::int64_t memory_of(at::Device device) {
  auto* allocator = dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(device.type()));
  return allocator == nullptr ? 0
                              : static_cast<std::int64_t>(allocator->getMemoryInfo(device.index()).second);
}

/// A fiftieth of the memory holds a chunk: logits in float32 and their gradients. So the head is read a few
/// times, not once for some rows.
std::int64_t CudaBackend::logits_at_once(at::Device device) const {
  constexpr std::int64_t share = 50, bytes_of_logit = 6, least = std::int64_t{1} << 22;
  return std::max(least, memory_of(device) / share / bytes_of_logit);
}

/// A quarter of the memory is left to adapters, activations and logits.
std::int64_t CudaBackend::cache_positions(const CacheShape& shape, std::int64_t weight_bytes) const {
  return std::max<std::int64_t>(0, (memory_of(shape.device) / 4 * 3 - weight_bytes) / cache_bytes(shape));
}

}  // namespace rocket
