// Random numbers of the devices: the CPU's.
#pragma once

#include <ATen/core/Generator.h>

namespace rocket::emulated {

/// The device's own generator, seeded as LibTorch seeds.
const at::Generator& default_generator(c10::DeviceIndex device);
at::Generator new_generator(c10::DeviceIndex device);
/// What the CPU's operators draw from in its place.
at::Generator for_cpu(const at::Generator& of_device);

}  // namespace rocket::emulated
