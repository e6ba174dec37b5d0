#include "evaluation/landlock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace rocket {
namespace {

// The kernel's interface, written out: the headers of many systems lack a part of it, or all.
constexpr long create_ruleset = 444, add_rule = 445;
constexpr std::uint32_t ask_version = 1, path_beneath = 1;
constexpr std::uint64_t execute = 1 << 0, write_file = 1 << 1, read_file = 1 << 2, read_dir = 1 << 3,
                        remove_dir = 1 << 4, remove_file = 1 << 5, make_dir = 1 << 7, make_file = 1 << 8,
                        make_link = 1 << 12, refer = 1 << 13, truncate = 1 << 14, ioctl_device = 1 << 15;
struct [[gnu::packed]] PathBeneath {
  std::uint64_t allowed;
  std::int32_t parent;
};

constexpr std::uint64_t of_files = execute | read_file | write_file | truncate | ioctl_device;
constexpr std::uint64_t reading = execute | read_file | read_dir;
constexpr std::uint64_t device = read_file | write_file | truncate;
constexpr std::uint64_t changing = read_file | read_dir | write_file | make_file | make_dir | make_link |
                                   remove_file | remove_dir | refer | truncate;

/// All rights that a version of Landlock can deny.
std::uint64_t rights_of(long version) {
  std::uint64_t rights = refer - 1;
  if (version >= 2) rights |= refer;
  if (version >= 3) rights |= truncate;
  if (version >= 5) rights |= ioctl_device;
  return rights;
}

}  // namespace

LandlockRules::LandlockRules() {
  const long version = syscall(create_ruleset, nullptr, 0, ask_version);
  if (version < 1) {
    fail_config(
        "this kernel has no Landlock, or does not offer it (Linux 5.13 or newer, with landlock in lsm=): {}",
        std::strerror(errno));
  }
  handled_ = rights_of(version);
  descriptor_ = static_cast<int>(syscall(create_ruleset, &handled_, sizeof handled_, 0));
  if (descriptor_ < 0) fail_config("landlock_create_ruleset: {}", std::strerror(errno));
}

LandlockRules::~LandlockRules() {
  if (descriptor_ >= 0) close(descriptor_);
}

void LandlockRules::allow_reading(const fs::path& path) {
  allow(path, reading);
}
void LandlockRules::allow_device(const fs::path& path) {
  allow(path, device);
}
void LandlockRules::allow_changing(const fs::path& folder) {
  allow(folder, changing);
}

void LandlockRules::allow(const fs::path& path, std::uint64_t rights) {
  const int parent = open(path.c_str(), O_PATH | O_CLOEXEC);
  if (parent < 0 && errno == ENOENT) return;
  if (parent < 0) fail_config("{}: {}", path.string(), std::strerror(errno));
  struct stat about {};
  fstat(parent, &about);
  if (!S_ISDIR(about.st_mode)) rights &= of_files;
  const PathBeneath rule{rights & handled_, parent};
  const long result = syscall(add_rule, descriptor_, path_beneath, &rule, 0);
  const int error = errno;
  close(parent);
  if (result != 0) fail_config("{}: landlock_add_rule: {}", path.string(), std::strerror(error));
}

}  // namespace rocket
