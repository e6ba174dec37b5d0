#include "adapters/bank.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/error.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

bool is_adapter(const fs::path& folder) {
  return fs::exists(folder / "adapter_config.json");
}

BankEntry entry_of(const fs::path& folder) {
  const fs::path path = fs::absolute(folder).lexically_normal();
  return {(path.has_filename() ? path : path.parent_path()).filename().string(), folder};
}

void add_folder_of_adapters(const fs::path& bank, std::vector<BankEntry>& entries) {
  const std::size_t before = entries.size();
  for (const fs::directory_entry& item : fs::directory_iterator(bank)) {
    if (!item.is_directory() || item.path().filename().string().starts_with(".")) continue;
    entries.push_back(entry_of(item.path()));
  }
  if (entries.size() == before) {
    fail_data("{}: neither an adapter (adapter_config.json is missing) nor a folder of adapters", bank.string());
  }
}

/// Behind the exclusions: a folder that is no adapter may be named there.
void check_are_adapters(const std::vector<BankEntry>& entries) {
  for (const BankEntry& entry : entries) {
    if (!is_adapter(entry.folder)) {
      fail_data("{}: no adapter: adapter_config.json is missing (bank.exclude: [{}] leaves it out)",
                entry.folder.string(), entry.name);
    }
  }
}

std::vector<BankEntry> find_adapters(const std::vector<fs::path>& folders) {
  std::vector<BankEntry> entries;
  for (const fs::path& folder : folders) {
    if (!fs::is_directory(folder)) fail_config("bank.adapters: {}: no such folder", folder.string());
    if (is_adapter(folder)) {
      entries.push_back(entry_of(folder));
    } else {
      add_folder_of_adapters(folder, entries);
    }
  }
  return entries;
}

void check_names(const std::vector<BankEntry>& entries) {
  const auto twice = std::ranges::adjacent_find(entries, {}, &BankEntry::name);
  if (twice != entries.end()) {
    fail_data("bank: two adapters are called '{}': {} and {}", twice->name, twice->folder.string(),
              std::next(twice)->folder.string());
  }
}

void leave_out(std::vector<BankEntry>& entries, const std::vector<std::string>& exclude) {
  for (const std::string& name : exclude) {
    if (std::ranges::find(entries, name, &BankEntry::name) == entries.end()) {
      fail_config("bank.exclude: there is no adapter '{}' in the bank", name);
    }
  }
  std::erase_if(entries,
                [&](const BankEntry& e) { return std::ranges::find(exclude, e.name) != exclude.end(); });
}

}  // namespace

std::vector<BankEntry> list_bank(const std::vector<fs::path>& folders,
                                 const std::vector<std::string>& exclude) {
  std::vector<BankEntry> entries = find_adapters(folders);
  std::ranges::sort(entries, {}, &BankEntry::name);
  check_names(entries);
  leave_out(entries, exclude);
  check_are_adapters(entries);
  if (entries.empty()) fail_data("bank.adapters: there is no adapter");
  return entries;
}

Bank::Bank(std::vector<BankEntry> entries, std::vector<Module> modules, at::ScalarType dtype,
           at::Device device, std::int64_t memory_bytes)
    : entries_(std::move(entries)),
      modules_(std::move(modules)),
      dtype_(dtype),
      device_(device),
      budget_(memory_bytes),
      loaded_(entries_.size()) {
}

std::shared_ptr<const LoraAdapter> Bank::get(std::int64_t index) {
  auto& slot = loaded_.at(static_cast<std::size_t>(index));
  if (!slot) {
    slot = std::make_shared<const LoraAdapter>(
        load_adapter(entries_[static_cast<std::size_t>(index)].folder, modules_, dtype_, device_));
    resident_ += slot->bytes();
  }
  touch(index);
  auto adapter = slot;
  make_room();
  return adapter;
}

void Bank::touch(std::int64_t index) {
  recent_.remove(index);
  recent_.push_front(index);
}

void Bank::make_room() {
  while (resident_ > budget_ && recent_.size() > 1) {
    auto& slot = loaded_[static_cast<std::size_t>(recent_.back())];
    resident_ -= slot->bytes();
    slot.reset();
    recent_.pop_back();
  }
}

void Bank::check_all() const {
  std::vector<std::string> problems;
  for (const BankEntry& entry : entries_) {
    try {
      load_adapter(entry.folder, modules_, dtype_, at::kCPU);
    } catch (const Error& e) {
      problems.push_back(e.what());
    }
  }
  if (!problems.empty()) fail_data("{}", fmt::join(problems, "\n"));
}

}  // namespace rocket
