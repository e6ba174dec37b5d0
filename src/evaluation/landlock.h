// Linux's Landlock: a process gives up the right to files, for itself and all that it starts.
#pragma once

#include <cstdint>

#include "base/files.h"

namespace rocket {

/// What a confined process may still do with files. All else is denied as far as this kernel's Landlock sees
/// it: opening, running, listing, making, removing, renaming. It does not see names, sizes and owners (stat),
/// links' targets, nor changes of mode, owner and times; versions before the third do not see truncation by
/// path.
class LandlockRules {
 public:
  /// Throws config (78) with the reason if the kernel has no Landlock or does not offer it.
  LandlockRules();
  ~LandlockRules();
  LandlockRules(const LandlockRules&) = delete;
  LandlockRules& operator=(const LandlockRules&) = delete;

  /// A file or a folder with all below: reading and running. What is not there needs no right.
  void allow_reading(const fs::path& path);
  /// A device: reading and writing.
  void allow_device(const fs::path& path);
  /// A folder with all below: reading, and making, writing, renaming and removing files, folders and links.
  void allow_changing(const fs::path& folder);

  /// For landlock_restrict_self; closed with this object.
  int descriptor() const { return descriptor_; }

 private:
  void allow(const fs::path& path, std::uint64_t rights);

  std::uint64_t handled_ = 0;
  int descriptor_ = -1;
};

}  // namespace rocket
