// Folders that `Dataset.save_to_disk` of Hugging Face's datasets writes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace rocket {

/// state.json lies in it, or dataset_dict.json.
bool is_saved_dataset(const std::filesystem::path& folder);

struct SavedDataset {
  std::vector<std::filesystem::path> files;  // Arrow files, in order
  std::string problem;                       // a sentence; then there are no files
};

/// What state.json names. A problem is: several splits in one folder, rows that are chosen by another file,
/// or a state.json that says nothing of the kind.
SavedDataset open_saved_dataset(const std::filesystem::path& folder);

}  // namespace rocket
