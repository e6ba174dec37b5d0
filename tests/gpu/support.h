// What the tests on the GPU share: the device, the lab's base on it, and distances. tests/device compiles the
// same tests for its emulated GPU.
#pragma once

#include <ATen/ATen.h>

#include <string>

#include "model/decoder.h"
#include "model/device.h"
#include "unit/training/support.h"

namespace rocket::test {

#ifndef ROCKET_TEST_DEVICE
#define ROCKET_TEST_DEVICE "cuda"
#endif

inline at::Device gpu() {
  static const at::Device device = choose_device(ROCKET_TEST_DEVICE, 0);
  return device;
}

inline const Decoder& lab_base_on_gpu(at::ScalarType type) {
  static const Decoder wide = Decoder::load("tests/lab/base", at::kFloat, gpu()),
                       narrow = Decoder::load("tests/lab/base", at::kBFloat16, gpu());
  return type == at::kFloat ? wide : narrow;
}

/// |found - expected| / |expected|, in float64 on the host.
inline double relative_distance(const at::Tensor& found, const at::Tensor& expected) {
  const auto plain = [](const at::Tensor& x) { return x.detach().to(at::kCPU, at::kDouble); };
  return ((plain(found) - plain(expected)).norm() / plain(expected).norm()).item<double>();
}

}  // namespace rocket::test
