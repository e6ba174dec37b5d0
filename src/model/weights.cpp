#include "model/weights.h"

#include <cstdint>
#include <cstring>

#include "base/activity.h"
#include "model/device.h"
#include "model/finite.h"

namespace rocket {
namespace {

/// A copy whose storage is aligned for its type.
at::Tensor aligned_copy(const StoredTensor& stored) {
  at::Tensor copy = at::empty(stored.shape, scalar_type(stored.dtype));
  std::memcpy(copy.mutable_data_ptr(), stored.bytes.data(), stored.bytes.size());
  return copy;
}

}  // namespace

at::Tensor load_weight(const StoredTensor& stored, const WeightPlace& place) {
  note_activity();
  const auto address = reinterpret_cast<std::uintptr_t>(stored.bytes.data());
  const bool aligned = address % static_cast<std::uintptr_t>(size_of(stored.dtype)) == 0;
  const at::Tensor values = aligned ? as_tensor(stored) : aligned_copy(stored);
  require_finite(values, stored.name);
  const at::Tensor weight = values.to(place.device, place.dtype);
  if (c10::elementSize(place.dtype) < values.itemsize()) require_finite(weight, stored.name);
  return weight;
}

}  // namespace rocket
