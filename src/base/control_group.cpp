#include "base/control_group.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <vector>

namespace rocket {
namespace {

namespace fs = std::filesystem;

/// The folders from this process's group up to the root, for a controller of version 1 ("cpu"), or of version
/// 2
/// ("").
std::vector<fs::path> folders_of(const std::string& controller, const fs::path& groups,
                                 const fs::path& mount) {
  std::ifstream lines(groups);
  for (std::string line; std::getline(lines, line);) {  // "4:cpu,cpuacct:/path" or "0::/path"
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = line.substr(first + 1, second - first - 1);
    const bool named = ("," + names + ",").find("," + controller + ",") != std::string::npos;
    if (controller.empty() ? !names.empty() : !named) continue;
    const fs::path root =
        controller.empty() ? mount : mount / (fs::exists(mount / names) ? names : controller);
    std::vector<fs::path> folders;
    for (fs::path group = fs::path(line.substr(second + 1)).relative_path();; group = group.parent_path()) {
      folders.push_back(group.empty() ? root : root / group);
      if (group.empty()) return folders;
    }
  }
  return {};
}

/// The words of a small file; none where it is absent.
std::vector<std::string> words_of(const fs::path& file) {
  std::ifstream in(file);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

/// -1 for "max", an absent file and what is no number.
double number_of(const std::vector<std::string>& words, std::size_t place) {
  if (place >= words.size()) return -1;
  std::istringstream text(words[place]);
  double number = -1;
  return text >> number ? number : -1;
}

double cores_of(double quota, double period) {
  return quota > 0 && period > 0 ? quota / period : 0;
}

void tighten(CpuQuota& quota, double cores, const fs::path& group) {
  if (cores > 0 && (quota.cores == 0 || cores < quota.cores)) quota = {cores, group.string()};
}

double memory_of_system(const fs::path& memory) {
  std::ifstream lines(memory);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("MemTotal:")) return 1024 * std::stod(line.substr(9));
  }
  return 0;
}

}  // namespace

CpuQuota cpu_quota(const fs::path& groups, const fs::path& mount) {
  CpuQuota quota;
  for (const fs::path& group : folders_of("", groups, mount)) {
    const auto words = words_of(group / "cpu.max");
    tighten(quota, cores_of(number_of(words, 0), number_of(words, 1)), group);
  }
  for (const fs::path& group : folders_of("cpu", groups, mount)) {
    const double period = number_of(words_of(group / "cpu.cfs_period_us"), 0);
    tighten(quota, cores_of(number_of(words_of(group / "cpu.cfs_quota_us"), 0), period), group);
  }
  return quota;
}

std::int64_t memory_limit(const fs::path& groups, const fs::path& mount, const fs::path& memory) {
  double bytes = memory_of_system(memory);
  const auto tighten_by = [&](const fs::path& file) {
    const double limit = number_of(words_of(file), 0);
    if (limit > 0 && (bytes == 0 || limit < bytes)) bytes = limit;
  };
  for (const fs::path& group : folders_of("", groups, mount)) tighten_by(group / "memory.max");
  for (const fs::path& group : folders_of("memory", groups, mount))
    tighten_by(group / "memory.limit_in_bytes");
  return static_cast<std::int64_t>(bytes);
}

}  // namespace rocket
