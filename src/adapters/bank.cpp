#include "adapters/bank.h"

#include <ATen/Parallel.h>
#include <fmt/ranges.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/files.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

bool is_adapter(const fs::path& folder) {
  return fs::exists(folder / "adapter_config.json");
}

BankEntry entry_of(const fs::path& folder) {
  return {folder_name(folder), folder};
}

void add_folder_of_adapters(const fs::path& bank, std::vector<BankEntry>& entries) {
  const std::size_t before = entries.size();
  for (const fs::directory_entry& item : fs::directory_iterator(bank)) {
    if (!item.is_directory() || item.path().filename().string().starts_with(".")) continue;
    entries.push_back(entry_of(item.path()));
  }
  if (entries.size() == before) {
    fail_data("{}: neither an adapter (adapter_config.json is missing) nor a folder of adapters",
              bank.string());
  }
}

/// The lines that tell all that is wrong, and how to go on without it.
[[noreturn]] void refuse(const std::vector<std::string>& problems, const std::vector<std::string>& names) {
  fail_data("{}\n(to go on without: bank.exclude: [{}])", fmt::join(problems, "\n"), fmt::join(names, ", "));
}

/// Behind the exclusions: a folder that is no adapter may be named there.
void check_are_adapters(const std::vector<BankEntry>& entries) {
  std::vector<std::string> problems, names;
  for (const BankEntry& entry : entries) {
    if (is_adapter(entry.folder)) continue;
    problems.push_back(fmt::format("{}: no adapter: adapter_config.json is missing", entry.folder.string()));
    names.push_back(entry.name);
  }
  if (!problems.empty()) refuse(problems, names);
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
    if (!find_entry(entries, name)) {
      fail_config("bank.exclude: there is no adapter '{}' in the bank", name);
    }
  }
  std::erase_if(entries,
                [&](const BankEntry& e) { return std::ranges::find(exclude, e.name) != exclude.end(); });
}

}  // namespace

const BankEntry* find_entry(const std::vector<BankEntry>& entries, const std::string& name) {
  const auto found = std::ranges::find(entries, name, &BankEntry::name);
  return found == entries.end() ? nullptr : &*found;
}

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
      slots_(entries_.size()) {
}

Bank::~Bank() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (reader_.joinable()) reader_.join();
}

std::shared_ptr<const LoraAdapter> Bank::get(std::int64_t index) {
  Lock lock(mutex_);
  Slot& wanted = slot(index);
  while (wanted.state != State::resident) {
    if (wanted.state == State::absent) read(index, false, lock);
    if (wanted.state == State::failed) {
      wanted.state = State::absent;
      std::rethrow_exception(std::exchange(wanted.failure, nullptr));
    }
    if (wanted.state == State::reading) changed_.wait(lock);
  }
  wanted.awaited = false;
  recent_.remove(index);
  recent_.push_front(index);
  auto adapter = wanted.adapter;
  make_room(0, false);
  changed_.notify_all();  // there may be room for the reader now
  return adapter;
}

std::vector<std::int64_t> Bank::resident() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::int64_t> places(recent_.begin(), recent_.end());
  std::ranges::sort(places);
  return places;
}

void Bank::read_ahead(std::vector<std::int64_t> indices) {
  {
    const std::lock_guard lock(mutex_);
    for (Slot& each : slots_) each.awaited = false;
    for (const std::int64_t index : indices) slot(index).awaited = true;
    next_.assign(indices.begin(), indices.end());
    if (!reader_.joinable()) reader_ = std::thread([this] { run_reader(); });
  }
  changed_.notify_all();
}

void Bank::run_reader() {
  at::get_num_threads();   // LibTorch sets the number of a new thread on its first call, ...
  omp_set_num_threads(1);  // ... and the cores belong to the scoring
  // Room also appears when a caller lets an adapter go, of which nobody tells.
  constexpr std::chrono::milliseconds kLook(50);
  Lock lock(mutex_);
  while (!stop_) {
    while (!next_.empty() && slot(next_.front()).state != State::absent) next_.pop_front();
    if (next_.empty()) {
      changed_.wait(lock);
    } else if (!make_room(slot(next_.front()).bytes, true)) {
      changed_.wait_for(lock, kLook);
    } else {
      const std::int64_t index = next_.front();
      next_.pop_front();
      read(index, true, lock);
    }
  }
}

/// Leaves the slot resident or failed; or absent, if it is read ahead and its size, now known, leaves no
/// room. The lock is open while it reads.
void Bank::read(std::int64_t index, bool ahead, Lock& lock) {
  Slot& target = slot(index);
  target.state = State::reading;
  std::int64_t reserved = 0;
  lock.unlock();
  try {
    const LoraFile file(entries_[static_cast<std::size_t>(index)].folder, modules_);
    lock.lock();
    target.bytes = file.bytes(dtype_);
    if (make_room(target.bytes, ahead) || !ahead) {
      resident_ += reserved = target.bytes;
      lock.unlock();
      auto adapter = std::make_shared<const LoraAdapter>(load_adapter(file, dtype_, device_));
      lock.lock();
      target.adapter = std::move(adapter);
      target.state = State::resident;
      recent_.push_front(index);
    } else {
      target.state = State::absent;
      next_.push_front(index);
    }
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    resident_ -= reserved;
    target.failure = std::current_exception();
    target.state = State::failed;
  }
  changed_.notify_all();
}

/// Lets go of adapters that nobody uses until `bytes` more fit into the budget, the least recently used
/// first. Those that are awaited stay, except, the last read first, for one that is asked for now.
bool Bank::make_room(std::int64_t bytes, bool ahead) {
  const auto fits = [&] { return resident_ + bytes <= budget_; };
  const auto drop = [&](bool awaited, std::int64_t index) {
    Slot& found = slot(index);
    if (fits() || found.awaited != awaited || found.adapter.use_count() > 1) return false;
    found.adapter.reset();
    found.state = State::absent;
    resident_ -= found.bytes;
    return true;
  };
  recent_.reverse();
  recent_.remove_if([&](std::int64_t index) { return drop(false, index); });
  recent_.reverse();
  if (!ahead) recent_.remove_if([&](std::int64_t index) { return drop(true, index); });
  return fits();
}

namespace {

/// What is wrong with an adapter, empty if nothing is.
template <class F>
std::string problem_of(F&& check) {
  try {
    check();
    return "";
  } catch (const Error& e) {
    return e.what();
  }
}

}  // namespace

std::vector<AdapterFacts> Bank::check_all(std::int64_t values_up_to) const {
  std::vector<std::string> problems(entries_.size());
  std::vector<std::optional<LoraFile>> files(entries_.size());
  std::vector<AdapterFacts> facts;
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    problems[i] = problem_of([&] { files[i].emplace(entries_[i].folder, modules_); });
    if (!files[i]) continue;
    facts.push_back({files[i]->bytes(dtype_), files[i]->stored_bytes(), files[i]->base_model()});
    bytes += facts.back().bytes;
  }
  for (std::size_t i = 0; bytes <= values_up_to && i < entries_.size(); ++i)
    if (files[i]) problems[i] = problem_of([&] { load_adapter(*files[i], dtype_, at::kCPU); });
  std::vector<std::string> lines, names;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (problems[i].empty()) continue;
    lines.push_back(problems[i]);
    names.push_back(entries_[i].name);
  }
  if (!lines.empty()) refuse(lines, names);
  return facts;
}

std::string note_on_bases(const std::vector<AdapterFacts>& adapters, const fs::path& base) {
  const auto last = [](const fs::path& path) {
    return path.has_filename() ? path.filename() : path.parent_path().filename();
  };
  std::map<std::string, std::int64_t> others;
  std::int64_t count = 0;
  for (const AdapterFacts& adapter : adapters) {
    if (adapter.base_model.empty() || last(adapter.base_model) == last(base)) continue;
    ++others[adapter.base_model];
    ++count;
  }
  if (others.empty()) return "";
  const auto most = std::ranges::max_element(others, {}, &std::pair<const std::string, std::int64_t>::second);
  return fmt::format("{} of {} adapters name another base than {} ({}: '{}'); their shapes fit it", count,
                     adapters.size(), last(base).string(),
                     others.size() == 1 ? "all of them" : fmt::format("{} of them", most->second),
                     most->first);
}

}  // namespace rocket
