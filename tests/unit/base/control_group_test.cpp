#include "base/control_group.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "scratch.h"

namespace rocket {
namespace {

class ControlGroup : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    make_folders((scratch_ / name).parent_path());
    write_file(scratch_ / name, text);
  }
  CpuQuota quota() const { return cpu_quota(scratch_ / "cgroup", scratch_ / "fs"); }
  std::int64_t limit() const {
    return memory_limit(scratch_ / "cgroup", scratch_ / "fs", scratch_ / "meminfo");
  }

  testing::Scratch scratch_;
};

TEST_F(ControlGroup, TheTightestOfVersion2Counts) {
  write("cgroup", "0::/job/step\n");
  write("meminfo", "MemTotal:       1000 kB\n");
  write("fs/cpu.max", "max 100000\n");
  write("fs/job/cpu.max", "250000 100000\n");
  write("fs/job/step/cpu.max", "800000 200000\n");
  write("fs/job/memory.max", "max\n");
  write("fs/job/step/memory.max", "512000\n");
  EXPECT_EQ(quota().cores, 2.5);
  EXPECT_EQ(quota().group, (scratch_ / "fs/job").string());
  EXPECT_EQ(limit(), 512000);
}

TEST_F(ControlGroup, Version1HasAFolderForEachController) {
  write("cgroup", "5:memory:/box\n4:cpu,cpuacct:/box\n1:name=systemd:/elsewhere\n");
  write("meminfo", "MemTotal:       1000 kB\n");
  write("fs/cpu,cpuacct/box/cpu.cfs_quota_us", "150000\n");
  write("fs/cpu,cpuacct/box/cpu.cfs_period_us", "100000\n");
  write("fs/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  write("fs/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  write("fs/memory/box/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(quota().cores, 1.5);
  EXPECT_EQ(limit(), 1024000);
}

// In a container the path may be the host's, while only the container's own group is mounted.
TEST_F(ControlGroup, AnUnknownPathLeavesTheMountedGroup) {
  write("cgroup", "0::/docker/123\n");
  write("fs/cpu.max", "300000 100000\n");
  EXPECT_EQ(quota().cores, 3);
}

TEST_F(ControlGroup, NoneIsNoLimit) {
  EXPECT_EQ(quota().cores, 0);
  EXPECT_EQ(limit(), 0);
  EXPECT_GT(memory_limit(), 1 << 20);
}

}  // namespace
}  // namespace rocket
