// What writer and reader share: HDF5 identifiers that close themselves, types, the library's reasons.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include "store/hdf5.h"

namespace rocket {

/// Owns one HDF5 identifier.
class H5Handle {
 public:
  H5Handle() = default;
  H5Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  ~H5Handle() { reset(); }
  H5Handle(H5Handle&& other) noexcept
      : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  H5Handle& operator=(H5Handle&& other) noexcept {
    reset();
    id_ = std::exchange(other.id_, H5I_INVALID_HID);
    close_ = other.close_;
    return *this;
  }

  hid_t get() const { return id_; }
  bool ok() const { return id_ >= 0; }
  void reset() {
    if (ok()) {
      close_(std::exchange(id_, H5I_INVALID_HID));
    }
  }

 private:
  hid_t id_ = H5I_INVALID_HID;
  herr_t (*close_)(hid_t) = nullptr;
};

/// Stops the library from printing its error stack. The setting is one per thread, so every entry calls it.
void silence_hdf5();

/// The innermost message of the HDF5 call that has just failed.
std::string hdf5_reason();

/// A variable-length UTF-8 string.
H5Handle string_type();

/// True (and `product` set) if all lengths are >= 0 and their product fits.
bool product_of(const Shape& shape, std::int64_t& product);

std::string shape_text(const Shape& shape);

/// IEEE 754 half precision, which HDF5 has no name for.
hid_t half_type();

template <class T>
hid_t native_type() {
  if constexpr (std::is_same_v<T, Float16>) {
    return half_type();
  } else if constexpr (std::is_same_v<T, float>) {
    return H5T_NATIVE_FLOAT;
  } else if constexpr (std::is_same_v<T, double>) {
    return H5T_NATIVE_DOUBLE;
  } else if constexpr (std::is_same_v<T, std::int32_t>) {
    return H5T_NATIVE_INT32;
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    return H5T_NATIVE_INT64;
  } else {
    static_assert(std::is_same_v<T, std::uint8_t>);
    return H5T_NATIVE_UINT8;
  }
}

template <class T>
constexpr const char* type_name() {
  if constexpr (std::is_same_v<T, float>) {
    return "float32";
  } else if constexpr (std::is_same_v<T, double>) {
    return "float64";
  } else if constexpr (std::is_same_v<T, std::int32_t>) {
    return "int32";
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    return "int64";
  } else {
    static_assert(std::is_same_v<T, std::uint8_t>);
    return "uint8";
  }
}

}  // namespace rocket
