#include "backend/upload.h"

#include <utility>

#include "base/error.h"

namespace rocket {
namespace {

thread_local UploadSlots* slots_in_use = nullptr;

at::Tensor pinned_like(const at::Tensor& values) {
  return at::empty(values.sizes(), values.options().pinned_memory(true));
}

}  // namespace

at::Tensor upload(const at::Tensor& values, at::Device device) {
  if (device.is_cpu()) return values;
  if (slots_in_use != nullptr) return slots_in_use->put(values, device);
  return pinned_like(values).copy_(values).to(device, /*non_blocking=*/true);
}

at::Tensor upload(std::span<const std::int64_t> values, at::Device device) {
  return upload(at::tensor(at::ArrayRef<std::int64_t>(values.data(), values.size()), at::kLong), device);
}

at::Tensor UploadSlots::put(const at::Tensor& values, at::Device device) {
  if (next_ == slots_.size())
    slots_.push_back({pinned_like(values), at::empty(values.sizes(), values.options().device(device))});
  const Slot& slot = slots_[next_++];
  if (slot.pinned.sizes() != values.sizes() || slot.pinned.scalar_type() != values.scalar_type())
    fail_internal("upload {} of a repeated step has another size than before", next_ - 1);
  slot.pinned.copy_(values);
  slot.on_device.copy_(slot.pinned, /*non_blocking=*/true);
  return slot.on_device;
}

UploadSlots::Use::Use(UploadSlots& slots) : before_(std::exchange(slots_in_use, &slots)) {
  slots.next_ = 0;
}

UploadSlots::Use::~Use() {
  slots_in_use = before_;
}

}  // namespace rocket
