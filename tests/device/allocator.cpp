#include "device/allocator.h"

#include <cstring>

#include "device/counts.h"
#include "device/current.h"
#include "device/memory.h"

namespace rocket::emulated {
namespace {

void give_back(void* address) {
  if (address != nullptr) release(address);
}

class Allocator final : public c10::Allocator {
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
};

}  // namespace

c10::Allocator& allocator() {
  static Allocator allocator;
  return allocator;
}

}  // namespace rocket::emulated
