// Before main(): LibTorch knows the device, and `device: emulated` means it.
#include <c10/core/Allocator.h>
#include <c10/core/DeviceType.h>
#include <fmt/format.h>

#include "device/allocator.h"
#include "device/counts.h"
#include "device/hooks.h"
#include "device/memory.h"
#include "model/device.h"

namespace rocket::emulated {
namespace {

at::Device choose(int local_rank) {
  return {c10::DeviceType::PrivateUse1, static_cast<c10::DeviceIndex>(local_rank % device_count())};
}

std::string text() {
  return fmt::format("an emulated GPU ({} on this node)", device_count());
}

[[maybe_unused]] const bool registered = [] {
  c10::register_privateuse1_backend("emulated");
  c10::SetAllocator(c10::DeviceType::PrivateUse1, &allocator());
  register_hooks();
  write_counts_at_exit();
  add_device_kind({"emulated", &choose, &text});
  return true;
}();

}  // namespace
}  // namespace rocket::emulated
