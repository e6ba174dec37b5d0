// The bank: adapters by name, read once each, resident within a memory budget.
#pragma once

#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "adapters/lora.h"

namespace rocket {

struct BankEntry {
  std::string name;  // folder name
  std::filesystem::path folder;
};

/// The adapters of a bank: each folder is an adapter (it holds adapter_config.json) or a folder of adapters,
/// whose plain files and dot folders are skipped. By name (bytes). Throws data (65) for a folder that is no
/// adapter, for two of one name and for an empty bank, config (78) for a path that is not there or an
/// excluded name that is not.
std::vector<BankEntry> list_bank(const std::vector<std::filesystem::path>& folders,
                                 const std::vector<std::string>& exclude);

class Bank {
 public:
  Bank(std::vector<BankEntry> entries, std::vector<Module> modules, at::ScalarType dtype, at::Device device,
       std::int64_t memory_bytes);

  std::int64_t size() const { return static_cast<std::int64_t>(entries_.size()); }
  const std::vector<BankEntry>& entries() const { return entries_; }
  const std::vector<Module>& modules() const { return modules_; }
  at::Device device() const { return device_; }
  /// Loads on first use; the least recently used go when the budget is exceeded (those in use stay alive).
  std::shared_ptr<const LoraAdapter> get(std::int64_t index);
  /// Validates every adapter, values included; throws data (65) with all that is wrong, one line an adapter.
  void check_all() const;

 private:
  void touch(std::int64_t index);
  void make_room();

  std::vector<BankEntry> entries_;
  std::vector<Module> modules_;
  at::ScalarType dtype_;
  at::Device device_;
  std::int64_t budget_, resident_ = 0;
  std::vector<std::shared_ptr<const LoraAdapter>> loaded_;
  std::list<std::int64_t> recent_;  // most recent first
};

}  // namespace rocket
