#include "device/generator.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <vector>

#include "device/memory.h"

namespace rocket::emulated {
namespace {

class OfDevice final : public at::CPUGeneratorImpl {
 public:
  explicit OfDevice(c10::DeviceIndex device) : cpu(at::detail::createCPUGenerator()) {
    device_ = c10::Device(c10::DeviceType::PrivateUse1, device);
    key_set_ = c10::DispatchKeySet(c10::DispatchKey::PrivateUse1);
  }
  void set_current_seed(std::uint64_t seed) override { cpu.set_current_seed(seed); }
  std::uint64_t current_seed() const override { return cpu.current_seed(); }
  std::uint64_t seed() override { return cpu.seed(); }

  at::Generator cpu;
};

}  // namespace

const at::Generator& default_generator(c10::DeviceIndex device) {
  static const std::vector<at::Generator> all = [] {
    std::vector<at::Generator> generators;
    for (int i = 0; i < device_count(); ++i)
      generators.push_back(new_generator(static_cast<c10::DeviceIndex>(i)));
    return generators;
  }();
  return all.at(static_cast<std::size_t>(std::max<c10::DeviceIndex>(device, 0)));
}

at::Generator new_generator(c10::DeviceIndex device) {
  return at::make_generator<OfDevice>(std::max<c10::DeviceIndex>(device, 0));
}

at::Generator for_cpu(const at::Generator& of_device) {
  auto* own = dynamic_cast<OfDevice*>(of_device.unsafeGetGeneratorImpl());
  return own != nullptr ? own->cpu : of_device;
}

}  // namespace rocket::emulated
