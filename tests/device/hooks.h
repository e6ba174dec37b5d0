#pragma once

namespace rocket::emulated {

/// Once, before LibTorch computes anything.
void register_hooks();

}  // namespace rocket::emulated
