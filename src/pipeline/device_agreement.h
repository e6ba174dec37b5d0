// Ranks of one job compute on one kind of device, which is settled before a model is loaded.
#pragma once

#include <string>
#include <vector>

#include "comm/comm.h"
#include "comm/placement.h"
#include "model/device.h"

namespace rocket {

/// What a rank of a job computes on, and where it is.
struct PlacedDevice {
  NodeName node;
  RankDevice device;
};

/// Ranks that gradients are summed over need a GPU each: NCCL takes one rank a GPU.
enum class SharedGpu { allowed, refused };

/// What is said where ranks share a GPU; empty where none do. `ranks` by rank.
std::string note_on_shared_gpus(const std::vector<PlacedDevice>& ranks);

/// Throws config (78) and names the ranks where some of them found a GPU and others none. `setting` is what
/// `device:` says.
void require_one_kind(const std::vector<PlacedDevice>& ranks, const std::string& setting);

/// Collective. Loads what LibTorch needs for the device of each rank. Throws config (78) on all ranks where
/// one cannot use its device, where they differ in kind, and where ranks share a GPU that must not. Else
/// sharing is warned of.
void agree_on_device(Comm& comm, const std::string& setting, int rank_on_node, SharedGpu shared);

}  // namespace rocket
