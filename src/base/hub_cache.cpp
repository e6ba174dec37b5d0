#include "base/hub_cache.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <system_error>

namespace rocket {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kModels = "models--", kBetween = "--";

/// "models--ORG--NAME" as ORG, NAME; "models--NAME" as NAME.
std::vector<std::string> repository_parts(std::string name) {
  name.erase(0, kModels.size());
  const std::size_t at = name.find(kBetween);
  if (at == std::string::npos) return {name};
  return {name.substr(0, at), name.substr(at + kBetween.size())};
}

fs::path hub_folder() {
  const auto set = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value != nullptr ? value : "");
  };
  if (!set("HF_HUB_CACHE").empty()) return set("HF_HUB_CACHE");
  if (!set("HF_HOME").empty()) return set("HF_HOME") / "hub";
  return set("HOME") / ".cache/huggingface/hub";
}

}  // namespace

std::vector<std::string> logical_components(const fs::path& path) {
  std::vector<std::string> parts;
  for (const fs::path& part : fs::absolute(path).lexically_normal().relative_path())
    if (!part.empty()) parts.push_back(part.string());
  const std::size_t n = parts.size();
  if (n < 3 || parts[n - 2] != "snapshots" || !parts[n - 3].starts_with(kModels)) return parts;
  const auto repository = repository_parts(parts[n - 3]);
  parts.resize(n - 3);
  parts.insert(parts.end(), repository.begin(), repository.end());
  return parts;
}

bool is_cached_repository(const fs::path& folder) {
  const std::vector<std::string> parts = logical_components(folder);
  std::error_code unreadable;
  return !parts.empty() && parts.back().starts_with(kModels) &&
         fs::is_directory(folder / "snapshots", unreadable);
}

std::vector<fs::path> snapshots_of(const fs::path& repository) {
  std::vector<fs::path> snapshots;
  std::error_code unreadable;
  for (const fs::directory_entry& entry : fs::directory_iterator(repository / "snapshots", unreadable))
    if (entry.is_directory(unreadable)) snapshots.push_back(entry.path());
  std::sort(snapshots.begin(), snapshots.end());
  return snapshots;
}

std::optional<fs::path> current_snapshot(const fs::path& repository) {
  std::string revision;
  std::getline(std::ifstream(repository / "refs/main"), revision);
  const std::vector<fs::path> snapshots = snapshots_of(repository);
  for (const fs::path& snapshot : snapshots)
    if (snapshot.filename() == revision) return snapshot;
  return snapshots.size() == 1 ? std::optional(snapshots.front()) : std::nullopt;
}

std::optional<fs::path> cached_repository(const std::string& name) {
  std::string folder = std::string(kModels) + name;
  if (const std::size_t at = folder.find('/'); at != std::string::npos) folder.replace(at, 1, kBetween);
  const fs::path repository = hub_folder() / folder;
  return is_cached_repository(repository) ? std::optional(repository) : std::nullopt;
}

std::optional<fs::path> broken_link(const fs::path& path) {
  std::error_code failed;
  if (!fs::is_symlink(path, failed) || fs::exists(path, failed)) return std::nullopt;
  return fs::read_symlink(path, failed);
}

}  // namespace rocket
