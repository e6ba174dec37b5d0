// The current device and streams of a thread.
#pragma once

namespace rocket::emulated {

int current_device();

}  // namespace rocket::emulated
