// What the control groups (cgroups, version 1 or 2) of this process allow: containers and batch systems set
// them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace rocket {

/// CPU time a second, in cores, of all processes of a group together.
struct CpuQuota {
  double cores = 0;   // 0: no limit
  std::string group;  // the folder of the group that sets it
};

/// The tightest on the way from this process's group to the root. The arguments are for tests.
CpuQuota cpu_quota(const std::filesystem::path& groups = "/proc/self/cgroup",
                   const std::filesystem::path& mount = "/sys/fs/cgroup");

/// Bytes of memory that this process's groups may use: those of the system, or the tightest limit of a group.
/// 0 where nothing tells.
std::int64_t memory_limit(const std::filesystem::path& groups = "/proc/self/cgroup",
                          const std::filesystem::path& mount = "/sys/fs/cgroup",
                          const std::filesystem::path& memory = "/proc/meminfo");

}  // namespace rocket
