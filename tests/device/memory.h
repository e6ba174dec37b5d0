// The memory of the emulated devices. It is mapped twice: at the address that tensors see nobody may read or
// write, and operators use the same pages at another address.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rocket::emulated {

/// How many devices there are: ROCKET_EMULATED_DEVICES, else 1.
int device_count();

/// Bytes of `device`, at an address that no host code may touch. Every byte is 0xff: whoever reads what
/// nobody has written computes with NaN or -1. Throws c10::OutOfMemoryError beyond ROCKET_EMULATED_BYTES a
/// device, else 64 GiB.
void* allocate(int device, std::size_t bytes);
void release(void* address);

/// The device whose memory this is, or -1.
int device_of(const void* address);
/// Where an operator may use these bytes.
void* for_operators(const void* address);

std::int64_t allocated_bytes(int device);
/// The most that was allocated at a time.
std::int64_t peak_allocated_bytes(int device);
/// What can be allocated on each device.
std::int64_t bytes_of_device();

}  // namespace rocket::emulated
