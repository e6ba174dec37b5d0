// LibTorch's allocator of the emulated devices.
#pragma once

#include <c10/core/Allocator.h>

namespace rocket::emulated {

/// Of the thread's current device.
c10::Allocator& allocator();

}  // namespace rocket::emulated
