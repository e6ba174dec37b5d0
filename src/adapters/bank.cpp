#include "adapters/bank.h"

#include <ATen/Parallel.h>
#include <fmt/ranges.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/files.h"

namespace rocket {

namespace fs = std::filesystem;

Bank::Bank(std::vector<BankEntry> entries, std::vector<Module> modules, at::ScalarType dtype,
           at::Device device, std::int64_t memory_bytes, std::shared_ptr<const ModelWeights> base)
    : entries_(std::move(entries)),
      modules_(std::move(modules)),
      dtype_(dtype),
      device_(device),
      budget_(memory_bytes),
      base_(std::move(base)),
      slots_(entries_.size()) {
}

LoraFile Bank::open(std::size_t index) const {
  const BankEntry& entry = entries_.at(index);
  return LoraFile(entry.folder, modules_, base_.get(), entry.name);
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
    const LoraFile file = open(static_cast<std::size_t>(index));
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
  std::vector<AdapterFacts> facts(entries_.size());
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    problems[i] = problem_of([&] { files[i].emplace(open(i)); });
    if (!files[i]) continue;
    facts[i] = {files[i]->bytes(dtype_),  files[i]->stored_bytes(), files[i]->base_model(), {}, {},
                files[i]->wrapped_front()};
    bytes += facts[i].bytes;
  }
  for (std::size_t i = 0; bytes <= values_up_to && i < entries_.size(); ++i) {
    if (!files[i]) continue;
    problems[i] = problem_of([&] {
      const LoraAdapter adapter = load_adapter(*files[i], dtype_, at::kCPU);
      facts[i].effect = adapter.has_effect();
      facts[i].content = adapter.content();
    });
  }
  std::vector<std::string> lines, names;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (problems[i].empty()) continue;
    lines.push_back(problems[i]);
    names.push_back(entries_[i].name);
  }
  if (!lines.empty()) refuse_adapters(lines, names);
  return facts;
}

std::vector<std::int64_t> first_copies(const std::vector<AdapterFacts>& adapters) {
  std::unordered_map<Hash128, std::int64_t, Hash128::Bucket> first;
  std::vector<std::int64_t> copies(adapters.size(), -1);
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    if (!adapters[i].content) continue;
    const auto [found, fresh] = first.emplace(*adapters[i].content, i);
    if (!fresh) copies[i] = found->second;
  }
  return copies;
}

std::string note_on_wrappers(const std::vector<BankEntry>& entries,
                             const std::vector<AdapterFacts>& adapters) {
  constexpr std::size_t kNamed = 5;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < adapters.size(); ++i)
    if (!adapters[i].wrapped_front.empty())
      names.push_back(fmt::format("{} ('{}')", entries[i].name, adapters[i].wrapped_front));
  if (names.empty()) return "";
  const std::size_t named = std::min(names.size(), kNamed);
  return fmt::format(
      "what a wrapper put in front of all names of an adapter's tensors is left out; PEFT would load none of "
      "them: {}{}",
      fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(named), ", "),
      names.size() > named ? fmt::format(" and {} more", names.size() - named) : "");
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
