// Checkpoints of fine-tuning: one HDF5 file each, RUN/checkpoints/step-0000050.h5.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "training/trainer.h"

namespace rocket {

/// The file of the checkpoint of a step.
std::filesystem::path checkpoint_path(const std::filesystem::path& folder, std::int64_t step);

/// Steps of the checkpoints of a folder, ascending; none where there is no folder.
std::vector<std::int64_t> checkpoint_steps(const std::filesystem::path& folder);

/// Commits the snapshot and removes all but the newest `keep` checkpoints. Returns the file.
std::filesystem::path save_checkpoint(const std::filesystem::path& folder, const Snapshot& snapshot,
                                      const Mixture& mixture, const std::string& fingerprint,
                                      std::int64_t keep);

/// The newest checkpoint of the folder, nullopt if there is none. Throws data (65) if it is broken, of
/// another fingerprint, damaged or does not fit the mixture: a failed restore stops the job.
std::optional<Snapshot> load_newest_checkpoint(const std::filesystem::path& folder, const Mixture& mixture,
                                               const std::string& fingerprint);

}  // namespace rocket
