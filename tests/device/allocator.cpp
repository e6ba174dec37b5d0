#include "device/allocator.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <cstring>

#include "device/counts.h"
#include "device/current.h"
#include "device/memory.h"

namespace rocket::emulated {
namespace {

void give_back(void* address) {
  if (address != nullptr) release(address);
}

class Allocator final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    const int device = current_device();
    void* address = bytes > 0 ? emulated::allocate(device, bytes) : nullptr;
    count_allocated(allocated_bytes(device));
    return {address, address, &give_back,
            c10::Device(c10::DeviceType::PrivateUse1, static_cast<c10::DeviceIndex>(device))};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    if (bytes > 0) std::memcpy(for_operators(to), for_operators(from), bytes);
  }

  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}                    // nothing freed is kept
  void recordStream(const c10::DataPtr&, c10::Stream) override {}  // operators end before the host goes on
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex device) override {
    c10::CachingDeviceAllocator::DeviceStats stats;
    for (auto* bytes : {&stats.allocated_bytes, &stats.reserved_bytes}) {
      (*bytes)[0].current = allocated_bytes(device);
      (*bytes)[0].peak = peak_allocated_bytes(device);
    }
    return stats;
  }
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex) override {}
  std::pair<std::size_t, std::size_t> getMemoryInfo(c10::DeviceIndex device) override {
    const auto all = static_cast<std::size_t>(bytes_of_device());
    return {all - static_cast<std::size_t>(allocated_bytes(device)), all};
  }
};

}  // namespace

c10::Allocator& allocator() {
  static Allocator allocator;
  return allocator;
}

}  // namespace rocket::emulated
