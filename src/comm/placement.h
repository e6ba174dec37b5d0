// Where the ranks of a job are, and how many threads each of them has there.
#pragma once

#include <compare>
#include <string>
#include <vector>

#include "base/cores.h"
#include "comm/comm.h"

namespace rocket {

/// Which node a process is on. Containers on different nodes may share a host name, but not a boot.
struct NodeName {
  std::string host, boot;
  auto operator<=>(const NodeName&) const = default;
};
NodeName node_of_process();

struct Placement {
  int nodes = 1;
  int rank_on_node = 0, ranks_on_node = 1;
  int threads = 1;                    // of this rank
  std::string summary;                // "4 ranks on 2 nodes, 16 threads each (a share of the cores)"
  std::vector<std::string> warnings;  // cores that stay idle, and the way out
};

/// Collective. `summary` and `warnings` are the same on all ranks.
Placement place_ranks(Comm& comm, const RankCores& mine);

}  // namespace rocket
