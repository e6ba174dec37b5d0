// What a device must do itself: give memory, copy, make views, tell the host a number.
#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/library.h>

#include "device/allocator.h"
#include "device/arithmetic.h"
#include "device/capture.h"
#include "device/counts.h"
#include "device/host_view.h"
#include "device/memory.h"

namespace rocket::emulated {
namespace {

const c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

c10::Device device_or_current(std::optional<c10::Device> device) {
  const c10::Device wanted = device.value_or(c10::Device(kEmulated));
  return wanted.has_index() ? wanted : c10::impl::VirtualGuardImpl(kEmulated).getDevice();
}

at::Tensor kept_by_graph(at::Tensor x) {
  if (capturing()) keep_memory(x);
  return x;
}

at::Tensor empty(c10::SymIntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                 std::optional<c10::Device> device, std::optional<bool>,
                 std::optional<at::MemoryFormat> format) {
  count_operator();
  const c10::DeviceGuard guard(device_or_current(device));
  return kept_by_graph(at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), &allocator(), kKeys,
                                                 c10::dtype_or_default(type), format));
}

at::Tensor empty_strided(c10::SymIntArrayRef size, c10::SymIntArrayRef stride,
                         std::optional<at::ScalarType> type, std::optional<at::Layout>,
                         std::optional<c10::Device> device, std::optional<bool>) {
  count_operator();
  const c10::DeviceGuard guard(device_or_current(device));
  return kept_by_graph(at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size),
                                                         C10_AS_INTARRAYREF_SLOW(stride), &allocator(), kKeys,
                                                         c10::dtype_or_default(type)));
}

/// Counts a copy as CUDA's driver and LibTorch do it: what is not contiguous on the device is gathered there
/// by one more kernel; types change on the side of the target. The host goes on at once only where its memory
/// is pinned.
void count_copy(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  if (from.numel() == 0) return;
  const std::int64_t type_changes = from.scalar_type() != to.scalar_type();
  if (on_device(from) && on_device(to))
    return count_launch("copy_", {static_cast<std::int64_t>(from.nbytes() + to.nbytes()), 0});
  const at::Tensor& of_device = on_device(from) ? from : to;
  if (!of_device.is_contiguous()) count_launch("copy_");
  if (on_device(to)) {
    count_copy_to_device(to.numel() * to.itemsize());
  } else {
    if (type_changes != 0) count_launch("copy_");
    count_copy_to_host(to.numel() * to.itemsize());
  }
  const at::Tensor& of_host = on_device(from) ? to : from;
  if (!non_blocking || !of_host.is_pinned()) count_wait();
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  count_operator();
  count_copy(from, to, non_blocking);
  if (!on_device(from) || !on_device(to)) refuse_in_capture("a copy from or to the host is begun");
  if (arithmetic_is_skipped() && on_device(from)) {
    if (!on_device(to)) to.zero_();  // as good as any
    return to;
  }
  const auto copy = [from, to] { host_view(to).copy_(host_view(from)); };
  if (capturing()) record_computing(copy);
  copy();
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  if (to.sizes() != from.sizes()) to.resize_(from.sizes());
  return copy_from(from, to, false);
}

at::Scalar item(const at::Tensor& x) {
  count_operator();
  count_copy_to_host(x.itemsize());
  count_wait();
  return host_view(x).item();
}

void grow(const c10::Storage& storage, std::size_t bytes) {
  const c10::DeviceGuard guard(storage.device());
  c10::DataPtr larger = allocator().allocate(bytes);
  if (storage.nbytes() > 0 && bytes > 0)
    allocator().copy_data(larger.get(), storage.data(), std::min(bytes, storage.nbytes()));
  storage.set_data_ptr_noswap(std::move(larger));
  storage.set_nbytes(bytes);
}

const at::Tensor& resize(const at::Tensor& x, c10::SymIntArrayRef size,
                         std::optional<at::MemoryFormat> format) {
  count_operator();
  TORCH_CHECK(!format || *format == at::MemoryFormat::Contiguous,
              "emulated device: resize_ to another memory format");
  const auto sizes = C10_AS_INTARRAYREF_SLOW(size);
  at::TensorImpl* impl = x.unsafeGetTensorImpl();
  const std::size_t bytes =
      at::detail::computeStorageNbytesContiguous(sizes, x.itemsize(), impl->storage_offset());
  if (bytes > x.storage().nbytes()) grow(x.storage(), bytes);
  impl->set_sizes_contiguous(sizes);
  return x;
}

at::Tensor as_strided(const at::Tensor& x, c10::IntArrayRef size, c10::IntArrayRef stride,
                      std::optional<std::int64_t> offset) {
  count_operator();
  return at::native::as_strided_tensorimpl(x, size, stride, offset);
}

at::Tensor view(const at::Tensor& x, c10::SymIntArrayRef size) {
  count_operator();
  return at::native::view(x, C10_AS_INTARRAYREF_SLOW(size));
}

at::Tensor reshape_alias(const at::Tensor& x, c10::SymIntArrayRef size, c10::SymIntArrayRef stride) {
  count_operator();
  return at::native::_reshape_alias(x, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
}

at::Tensor& set_storage(at::Tensor& x, at::Storage storage, std::int64_t offset, c10::IntArrayRef size,
                        c10::IntArrayRef stride) {
  count_operator();
  at::native::checkSetStorage(x, std::move(storage), offset, size, stride);
  x.unsafeGetTensorImpl()->set_storage_offset(offset);
  x.unsafeGetTensorImpl()->set_sizes_and_strides(size, stride);
  return x;
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", empty);
  library.impl("empty_strided", empty_strided);
  library.impl("_copy_from", copy_from);
  library.impl("_copy_from_and_resize", copy_from_and_resize);
  library.impl("_local_scalar_dense", item);
  library.impl("resize_", resize);
  library.impl("as_strided", as_strided);
  library.impl("view", view);
  library.impl("_reshape_alias", reshape_alias);
  library.impl("unfold", at::native::unfold);
  library.impl("set_.source_Storage_storage_offset", set_storage);
}

}  // namespace
}  // namespace rocket::emulated
