// Which cores the ranks of a node may use, and how many threads that makes of each.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace rocket {

/// What one rank may use of its node. A core here is what the kernel calls a CPU: with hyper-threading half
/// of a physical one.
struct RankCores {
  std::vector<int> allowed;   // numbers of the cores that it may run on (its affinity mask), ascending
  std::vector<int> launcher;  // those of the launcher's process that started it; empty: no such process
  int allotted = 0;           // cores of the batch job on this node, for all its ranks together; 0: not said
  double quota = 0;           // CPU time a second, in cores, that its control group may use; 0: no limit
  std::string quota_group;    // ranks in the same group share the quota
  int wanted = 0;             // OMP_NUM_THREADS; 0: not set
};

/// Call it before any library with threads is loaded: OpenMP may bind the thread that loads it
/// (OMP_PROC_BIND).
RankCores cores_of_process();

struct NodeThreads {
  std::vector<int> threads;  // of each rank, 1 or more
  std::string source;        // where their number comes from
  int cores = 0;             // that the ranks may use together
  int unbound = 0;           // that the launcher might use and bound none of its ranks to
  int unused = 0;            // that OMP_NUM_THREADS leaves idle
};

/// Threads of all ranks on a node. A core that several ranks may use counts for each of them as its share,
/// and what rounding leaves goes to the ranks that it has cost most. The sum is at most the cores of the
/// batch job and the quota of the control group (but one thread a rank). OMP_NUM_THREADS wins over all of
/// this.
NodeThreads share_cores(std::span<const RankCores> ranks);

}  // namespace rocket
