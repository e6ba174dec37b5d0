#include "evaluation/export_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <sstream>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/files.h"

namespace rocket {
namespace {

// Lists the entries that an export wrote, so that a later one may replace these and nothing else.
constexpr const char* list_name = ".rocket_export";

std::string text_of(const std::set<std::string>& entries) {
  std::string text;
  for (const auto& entry : entries) text += entry + "\n";
  return text;
}

std::set<std::string> listed_in(const fs::path& folder) {
  std::set<std::string> entries;
  if (!fs::exists(folder / list_name)) return entries;
  std::istringstream lines(read_file(folder / list_name));
  for (std::string line; std::getline(lines, line);) entries.insert(line);
  return entries;
}

std::vector<std::string> entries_of(const fs::path& folder) {
  std::vector<std::string> entries;
  for (const auto& entry : fs::directory_iterator(folder)) entries.push_back(entry.path().filename());
  std::sort(entries.begin(), entries.end());
  return entries;
}

void move(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) fail_storage("{}: cannot be moved to {}: {}", from.string(), to.string(), error.message());
}

void sync_folder(const fs::path& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = fd >= 0 && fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (!synced) fail_storage("{}: {}", folder.string(), std::strerror(error));
}

fs::path without_trailing_slash(const fs::path& path) {
  const fs::path absolute = fs::absolute(path).lexically_normal();
  return absolute.has_filename() ? absolute : absolute.parent_path();
}

}  // namespace

void list_entries(const fs::path& folder) {
  const auto entries = entries_of(folder);
  write_file(folder / list_name, text_of({entries.begin(), entries.end()}));
}

std::vector<fs::path> exported_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const std::string& entry : listed_in(folder)) {
    if (fs::is_regular_file(folder / entry)) files.push_back(folder / entry);
    if (!fs::is_directory(folder / entry)) continue;
    for (const auto& below : fs::recursive_directory_iterator(folder / entry)) {
      if (below.is_regular_file() && below.path().filename() != list_name) files.push_back(below.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

void clear_export(const fs::path& folder) {
  const bool free = fs::is_directory(folder) ? fs::is_empty(folder) : !fs::exists(folder);
  if (free) return;
  if (!fs::exists(folder / list_name))
    fail_config("{}: is there and was not written by an export: move it away or choose another name",
                folder.string());
  for (const auto& entry : listed_in(folder)) remove_tree(folder / entry);
  remove_tree(folder / list_name);
  if (fs::is_empty(folder)) remove_tree(folder);
}

ExportFolder::ExportFolder(fs::path target, std::string last)
    : target_(without_trailing_slash(target)), last_(std::move(last)) {
  temporary_ = target_.parent_path() / fmt::format(".{}.partial", target_.filename().string());
  remove_tree(temporary_);
  make_folders(temporary_);
}

ExportFolder::~ExportFolder() {
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
}

void ExportFolder::replace_entries(const std::vector<std::string>& entries) {
  const auto old = listed_in(target_);
  for (const auto& entry : entries) {
    if (fs::exists(target_ / entry) && !old.contains(entry)) {
      fail_config(
          "{}: is in the way and was not written by an export: remove it or name another folder with --to",
          (target_ / entry).string());
    }
  }
  auto either = old;
  either.insert(entries.begin(), entries.end());
  write_file(target_ / list_name, text_of(either));
  if (old.contains(last_)) remove_tree(target_ / last_);
  for (const auto& entry : old) remove_tree(target_ / entry);
  for (const auto& entry : entries) move(temporary_ / entry, target_ / entry);
  sync_folder(target_);
  write_file(target_ / list_name, text_of({entries.begin(), entries.end()}));
}

void ExportFolder::commit() {
  auto entries = entries_of(temporary_);
  std::stable_partition(entries.begin(), entries.end(), [&](const auto& entry) { return entry != last_; });
  if (fs::exists(target_)) {
    replace_entries(entries);
  } else {
    list_entries(temporary_);
    move(temporary_, target_);
    sync_folder(target_.parent_path());
  }
}

}  // namespace rocket
