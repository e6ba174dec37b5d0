// How the device computes: every operator that is not registered elsewhere runs as the CPU's, on the device's
// memory.
#pragma once

#include <ATen/core/stack.h>

namespace c10 {
class OperatorHandle;
}

namespace rocket::emulated {

/// As at::native::cpu_fallback, without its copies. Throws where an operator is given tensors of two devices,
/// which no GPU takes; numbers (tensors without dimensions) may lie on the CPU.
void run_on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack);

}  // namespace rocket::emulated
