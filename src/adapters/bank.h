// The bank: adapters by name, read ahead of their turn, resident within a memory budget.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "adapters/bank_folders.h"
#include "adapters/lora.h"

namespace rocket {

/// What an adapter takes, in memory in the compute type and in its file, and the base that it names.
struct AdapterFacts {
  std::int64_t bytes = 0, stored_bytes = 0;
  std::string base_model;
  /// Known where the values were read: LoraAdapter::has_effect and content.
  std::optional<bool> effect;
  std::optional<Hash128> content;
  std::string wrapped_front;  // LoraFile::wrapped_front
};

/// For each adapter the place of the first one of the same content, -1 where there is none before it.
std::vector<std::int64_t> first_copies(const std::vector<AdapterFacts>& adapters);

/// A note on the adapters that name another base than the folder given, whose last component counts; empty
/// where there is none. (That their shapes fit has been checked.)
std::string note_on_bases(const std::vector<AdapterFacts>& adapters, const std::filesystem::path& base);

/// A note on the adapters whose tensors have a wrapper in all their names; empty where there is none.
std::string note_on_wrappers(const std::vector<BankEntry>& entries,
                             const std::vector<AdapterFacts>& adapters);

/// Safe to use from several threads.
class Bank {
 public:
  /// `base`: see LoraFile.
  Bank(std::vector<BankEntry> entries, std::vector<Module> modules, at::ScalarType dtype, at::Device device,
       std::int64_t memory_bytes, std::shared_ptr<const ModelWeights> base = nullptr);
  ~Bank();
  Bank(const Bank&) = delete;
  Bank& operator=(const Bank&) = delete;

  std::int64_t size() const { return static_cast<std::int64_t>(entries_.size()); }
  const std::vector<BankEntry>& entries() const { return entries_; }
  const std::vector<Module>& modules() const { return modules_; }
  at::Device device() const { return device_; }
  /// Opens the file of an adapter. Throws as LoraFile does.
  LoraFile open(std::size_t index) const;
  /// Reads on first use. Where the budget is exceeded the least recently used go, those in use excepted.
  std::shared_ptr<const LoraAdapter> get(std::int64_t index);
  /// These will be asked for next, in about this order: a thread reads them ahead, as far as the budget goes.
  /// What fails is thrown by the get() that asks for it. A new list takes the place of the old one.
  void read_ahead(std::vector<std::int64_t> indices);
  /// The places of those in memory, ascending.
  std::vector<std::int64_t> resident() const;
  /// Opens every adapter once and validates it: its values too, if all of them together have at most
  /// `values_up_to` bytes in memory. Throws data (65) with all that is wrong, one line an adapter. In the
  /// order of the entries.
  std::vector<AdapterFacts> check_all(std::int64_t values_up_to) const;

 private:
  enum class State { absent, reading, resident, failed };
  struct Slot {
    State state = State::absent;
    bool awaited = false;    // in the list of read_ahead(), and not asked for yet
    std::int64_t bytes = 0;  // 0: not known yet
    std::shared_ptr<const LoraAdapter> adapter;
    std::exception_ptr failure;
  };
  using Lock = std::unique_lock<std::mutex>;

  Slot& slot(std::int64_t index) { return slots_.at(static_cast<std::size_t>(index)); }
  void read(std::int64_t index, bool ahead, Lock& lock);
  bool make_room(std::int64_t bytes, bool ahead);
  void run_reader();

  std::vector<BankEntry> entries_;
  std::vector<Module> modules_;
  at::ScalarType dtype_;
  at::Device device_;
  std::int64_t budget_;
  std::shared_ptr<const ModelWeights> base_;
  mutable std::mutex mutex_;   // of all below
  std::int64_t resident_ = 0;  // bytes
  std::condition_variable changed_;
  std::vector<Slot> slots_;
  std::list<std::int64_t> recent_;  // the resident ones, most recent first
  std::deque<std::int64_t> next_;
  bool stop_ = false;
  std::thread reader_;
};

}  // namespace rocket
