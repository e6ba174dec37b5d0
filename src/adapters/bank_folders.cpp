#include "adapters/bank_folders.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <system_error>

#include "base/error.h"
#include "base/hub_cache.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "adapter_config.json";

bool is_there(const fs::path& path) {
  std::error_code unreadable;
  return fs::exists(path, unreadable);
}

bool is_folder(const fs::path& path) {
  std::error_code unreadable;
  return fs::is_directory(path, unreadable);
}

bool is_adapter(const fs::path& folder) {
  return is_there(folder / kConfig);
}

bool is_hidden(const fs::path& path) {
  return path.filename().string().starts_with(".");
}

/// A repository of the cache becomes its snapshot, everything else stays.
fs::path resolved(const fs::path& folder) {
  if (!is_cached_repository(folder)) return folder;
  if (const auto snapshot = current_snapshot(folder)) return *snapshot;
  std::vector<std::string> names;
  for (const fs::path& snapshot : snapshots_of(folder)) names.push_back(snapshot.filename().string());
  fail_data("{}: {} snapshots ({}), and refs/main names none of them: name one in bank.adapters",
            folder.string(), names.size(), fmt::join(names, ", "));
}

/// What may be an adapter in a folder: folders, and links whose target is gone.
std::vector<fs::path> members(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code unreadable;
  for (const fs::directory_entry& item : fs::directory_iterator(folder, unreadable))
    if (!is_hidden(item.path()) && (is_folder(item.path()) || broken_link(item.path())))
      found.push_back(item.path());
  if (unreadable) fail_data("{}: cannot be read: {}", folder.string(), unreadable.message());
  std::ranges::sort(found);
  return found;
}

std::vector<fs::path> find_adapters(const std::vector<fs::path>& folders) {
  std::vector<fs::path> found;
  for (const fs::path& given : folders) {
    if (const auto target = broken_link(given))
      fail_config("bank.adapters: {}: a link to {}, which is not there", given.string(), target->string());
    if (!is_folder(given)) fail_config("bank.adapters: {}: no such folder", given.string());
    const fs::path folder = resolved(given);
    if (is_adapter(folder)) {
      found.push_back(folder);
      continue;
    }
    const std::vector<fs::path> inside = members(folder);
    if (inside.empty())
      fail_data("{}: neither an adapter ({} is missing) nor a folder of adapters", folder.string(), kConfig);
    for (const fs::path& each : inside) found.push_back(resolved(each));
  }
  return found;
}

/// The last `count` components, joined.
std::string tail(const std::vector<std::string>& parts, std::size_t count) {
  return fmt::format("{}", fmt::join(parts.end() - static_cast<std::ptrdiff_t>(count), parts.end(), "--"));
}

std::vector<BankEntry> named(const std::vector<fs::path>& folders) {
  std::vector<std::vector<std::string>> parts;
  for (const fs::path& folder : folders) parts.push_back(logical_components(folder));
  std::vector<std::size_t> counts(folders.size(), 1);
  for (bool clash = true; clash;) {
    clash = false;
    std::map<std::string, std::vector<std::size_t>> by_name;
    for (std::size_t i = 0; i < folders.size(); ++i) by_name[tail(parts[i], counts[i])].push_back(i);
    for (const auto& [name, same] : by_name) {
      if (same.size() == 1) continue;
      std::size_t longer = 0;
      for (const std::size_t i : same) {
        if (counts[i] == parts[i].size()) continue;
        ++counts[i];
        ++longer;
      }
      if (longer == 0) fail_data("bank: the adapter {} is listed twice", folders[same.front()].string());
      clash = true;
    }
  }
  std::vector<BankEntry> entries;
  for (std::size_t i = 0; i < folders.size(); ++i) entries.push_back({tail(parts[i], counts[i]), folders[i]});
  return entries;
}

struct Finding {
  std::string problem;
  std::vector<fs::path> to_name;  // adapters or folders of adapters that lie inside
};

/// Why a folder is no adapter, and what in it may be named instead.
Finding look_into(const fs::path& folder) {
  const auto say = [&](const std::string& what) {
    return fmt::format("{}: no adapter: {}", folder.string(), what);
  };
  if (const auto target = broken_link(folder))
    return {fmt::format("{}: a link to {}, which is not there", folder.string(), target->string()), {}};
  if (const auto target = broken_link(folder / kConfig))
    return {say(fmt::format("{} is a link to {}, which is not there", kConfig, target->string())), {}};
  if (is_there(folder / "config.json")) return {say("it is a model (config.json)"), {}};
  if (is_there(folder / "adapters.safetensors"))
    return {say(fmt::format("weights of mlx-lm (adapters.safetensors) without {}", kConfig)), {}};
  std::vector<std::string> inner, repositories;
  std::optional<fs::path> checkpoint;
  for (const fs::path& each : members(folder)) {
    if (is_cached_repository(each)) repositories.push_back(each.filename().string());
    if (!is_adapter(each)) continue;
    inner.push_back(each.filename().string());
    const auto step = [](const fs::path& path) { return std::pair(path.string().size(), path.string()); };
    if (inner.back().starts_with("checkpoint-") && (!checkpoint || step(each) > step(*checkpoint)))
      checkpoint = each;
  }
  if (!repositories.empty())
    return {say(fmt::format("a Hugging Face cache of {}", fmt::join(repositories, ", "))), {folder}};
  if (inner.empty()) return {say(fmt::format("{} is missing", kConfig)), {}};
  const std::string names = fmt::format("{}", fmt::join(inner, ", "));
  if (checkpoint) return {say(fmt::format("only checkpoints of a training ({})", names)), {*checkpoint}};
  return {say(fmt::format("a folder of {} adapters ({})", inner.size(), names)), {folder}};
}

/// Behind the exclusions: a folder that is no adapter may be named there.
void check_are_adapters(const std::vector<BankEntry>& entries, const std::vector<fs::path>& given) {
  std::vector<std::string> problems, names, inside, without;
  for (const BankEntry& entry : entries) {
    if (is_adapter(entry.folder)) continue;
    const Finding finding = look_into(entry.folder);
    problems.push_back(finding.problem);
    names.push_back(entry.name);
    for (const fs::path& path : finding.to_name) inside.push_back(path.string());
    if (!finding.to_name.empty()) without.push_back(entry.name);
  }
  if (problems.empty()) return;
  std::vector<std::string> all;
  for (const fs::path& path : given) all.push_back(path.string());
  all.insert(all.end(), inside.begin(), inside.end());
  const std::string advice =
      inside.empty() ? ""
                     : fmt::format("\n(to read what was found: bank.adapters: [{}] and bank.exclude: [{}])",
                                   fmt::join(all, ", "), fmt::join(without, ", "));
  refuse_adapters(problems, names, advice);
}

void leave_out(std::vector<BankEntry>& entries, const std::vector<std::string>& exclude) {
  for (const std::string& name : exclude) {
    if (!find_entry(entries, name)) fail_config("bank.exclude: there is no adapter '{}' in the bank", name);
  }
  std::erase_if(entries,
                [&](const BankEntry& e) { return std::ranges::find(exclude, e.name) != exclude.end(); });
}

}  // namespace

void refuse_adapters(const std::vector<std::string>& problems, const std::vector<std::string>& names,
                     const std::string& advice) {
  fail_data("{}{}\n(to go on without: bank.exclude: [{}])", fmt::join(problems, "\n"), advice,
            fmt::join(names, ", "));
}

const BankEntry* find_entry(const std::vector<BankEntry>& entries, const std::string& name) {
  const auto found = std::ranges::find(entries, name, &BankEntry::name);
  return found == entries.end() ? nullptr : &*found;
}

std::vector<BankEntry> list_bank(const std::vector<fs::path>& folders,
                                 const std::vector<std::string>& exclude) {
  std::vector<BankEntry> entries = named(find_adapters(folders));
  std::ranges::sort(entries, {}, &BankEntry::name);
  leave_out(entries, exclude);
  check_are_adapters(entries, folders);
  if (entries.empty()) fail_data("bank.adapters: there is no adapter");
  return entries;
}

}  // namespace rocket
