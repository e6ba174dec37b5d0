#include "base/saved_dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fstream>
#include <nlohmann/json.hpp>

namespace rocket {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kState = "state.json";
constexpr const char* kSplits = "dataset_dict.json";

bool is_there(const fs::path& path) {
  std::error_code unreadable;
  return fs::exists(path, unreadable);
}

/// Null where it is none that can be read.
json read(const fs::path& file) {
  std::ifstream in(file);
  return json::parse(in, nullptr, /*allow_exceptions=*/false);
}

std::string splits_of(const fs::path& folder) {
  const json all = read(folder / kSplits);
  if (!all.is_object() || !all.contains("splits") || !all["splits"].is_array() || all["splits"].empty())
    return fmt::format("{} names no splits", (folder / kSplits).string());
  std::vector<std::string> names;
  for (const json& split : all["splits"])
    if (split.is_string()) names.push_back((folder / split.get<std::string>()).string());
  return fmt::format("{} holds several splits: name one of them: {}", folder.string(),
                     fmt::join(names, ", "));
}

/// A name of a file in the folder itself.
bool is_plain_name(const json& file) {
  return file.is_object() && file.contains("filename") && file["filename"].is_string() &&
         fs::path(file["filename"].get<std::string>()).filename() == file["filename"].get<std::string>() &&
         !file["filename"].get<std::string>().empty();
}

}  // namespace

bool is_saved_dataset(const fs::path& folder) {
  return is_there(folder / kState) || is_there(folder / kSplits);
}

SavedDataset open_saved_dataset(const fs::path& folder) {
  if (is_there(folder / kSplits)) return {{}, splits_of(folder)};
  const std::string place = (folder / kState).string();
  const json state = read(folder / kState);
  if (!state.is_object() || !state.contains("_data_files") || !state["_data_files"].is_array())
    return {{}, place + " names no _data_files: save the dataset again with save_to_disk"};
  for (const char* key : {"_indices_files", "_indices_data_files"})
    if (state.contains(key) && state[key].is_array() && !state[key].empty())
      return {{},
              fmt::format("{}: {}: rows that are chosen by another file are not read: save the dataset again "
                          "with datasets 2 or newer, or after flatten_indices()",
                          place, key)};
  SavedDataset dataset;
  for (const json& file : state["_data_files"]) {
    if (!is_plain_name(file)) return {{}, place + ": _data_files: expected names of files in the folder"};
    dataset.files.push_back(folder / file["filename"].get<std::string>());
  }
  return dataset;
}

}  // namespace rocket
