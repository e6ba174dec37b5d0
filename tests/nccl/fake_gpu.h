// What tests ask of the pretended GPU. Everything may be called from any thread.
#pragma once

#include <nccl.h>

#include <cstddef>
#include <vector>

namespace rocket::testing {

/// Forgets everything before it.
void reset_fake_gpu();
/// From its `after`-th sum on (from 0) this rank's communicator reports the error, and the sums of its group
/// stand still.
void break_communicator(int rank, std::size_t after, ncclResult_t error);
/// Its sums are never joined: the others wait for it.
void make_rank_deaf(int rank);
/// The device that cudaSetDevice refuses.
void refuse_device(int device);

/// Where the library finds the bytes of an address that ranks give it; by default they are where they are.
void translate_memory(void* (*translate)(const void* address));

/// The number of values of each sum that the rank has started, in order.
std::vector<std::size_t> sums_of(int rank);
int aborted_communicators();
int destroyed_communicators();

}  // namespace rocket::testing
