// What LibTorch's device-independent code asks of an accelerator.
#include "device/hooks.h"

#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <cstdlib>
#include <mutex>
#include <set>

#include "device/generator.h"
#include "device/memory.h"

namespace rocket::emulated {
namespace {

constexpr c10::DeviceType kType = c10::DeviceType::PrivateUse1;

/// Host memory that a device could read while the host goes on.
class Pinned final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    void* address = std::aligned_alloc(64, (bytes + 64) / 64 * 64);
    const std::lock_guard lock(mutex());
    blocks().insert({static_cast<const char*>(address), bytes});
    return {address, address, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  static bool holds(const void* address) {
    const auto* byte = static_cast<const char*>(address);
    const std::lock_guard lock(mutex());
    auto after = blocks().upper_bound({byte, ~std::size_t{0}});
    if (after == blocks().begin()) return false;
    const auto& [begin, bytes] = *--after;
    return byte < begin + bytes;
  }

 private:
  using Block = std::pair<const char*, std::size_t>;

  static std::mutex& mutex() {
    static std::mutex mutex;
    return mutex;
  }
  static std::set<Block>& blocks() {
    static auto* blocks = new std::set<Block>;
    return *blocks;
  }
  static void release(void* address) {
    const std::lock_guard lock(mutex());
    blocks().erase(blocks().lower_bound({static_cast<const char*>(address), 0}));
    std::free(address);
  }
};

class Hooks final : public at::PrivateUse1HooksInterface {
 public:
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  void init() const override {}
  c10::DeviceIndex deviceCount() const override { return guard().deviceCount(); }
  c10::DeviceIndex getCurrentDevice() const override { return guard().getDevice().index(); }
  void setCurrentDevice(c10::DeviceIndex device) const override { guard().setDevice({kType, device}); }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex device) const override {
    return guard().exchangeDevice({kType, device}).index();
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex device) const override {
    return exchangeDevice(device);
  }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex device) const override {
    return default_generator(device);
  }
  at::Generator getNewGenerator(c10::DeviceIndex device) const override { return new_generator(device); }
  at::Device getDeviceFromPtr(void* data) const override {
    const int device = device_of(data);
    TORCH_CHECK(device >= 0, "emulated device: this address is not of its memory");
    return {kType, static_cast<c10::DeviceIndex>(device)};
  }
  bool isPinnedPtr(const void* data) const override { return Pinned::holds(data); }
  c10::Allocator* getPinnedMemoryAllocator() const override {
    static Pinned pinned;
    return &pinned;
  }

 private:
  static const c10::impl::DeviceGuardImplInterface& guard() { return *c10::impl::getDeviceGuardImpl(kType); }
};

}  // namespace

void register_hooks() {
  static Hooks hooks;
  at::RegisterPrivateUse1HooksInterface(&hooks);
}

}  // namespace rocket::emulated
