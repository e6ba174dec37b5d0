#include "formats/model_folder.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/hub_cache.h"
#include "formats/model_json.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

/// Names of the entries for which `wanted` holds, sorted.
template <class F>
std::vector<std::string> names_in(const fs::path& folder, F&& wanted) {
  std::vector<std::string> names;
  std::error_code unreadable;
  for (const fs::directory_entry& item : fs::directory_iterator(folder, unreadable))
    if (wanted(item.path())) names.push_back(item.path().filename().string());
  std::ranges::sort(names);
  return names;
}

/// "3 models (a, b, c)"
std::string counted(const std::vector<std::string>& names, const char* what) {
  return fmt::format("{} {} ({})", names.size(), what, fmt::join(names, ", "));
}

}  // namespace

std::string what_folder_is(const fs::path& folder) {
  if (is_cached_repository(folder)) {
    const auto snapshot = current_snapshot(folder);
    return fmt::format("a repository of the Hugging Face cache: name its snapshot {}",
                       snapshot ? snapshot->string() : (folder / "snapshots/REVISION").string());
  }
  if (is_there(folder / "adapter_config.json")) return "an adapter: name the base that it adapts";
  if (is_there(folder / "adapters.safetensors")) return "an adapter of mlx-lm, which is not read";
  const auto holds = [](const char* file) {
    return [=](const fs::path& path) { return is_there(path / file); };
  };
  if (const auto names = names_in(folder, holds("config.json")); !names.empty())
    return fmt::format("a folder of {}: name one of them", counted(names, "models"));
  if (const auto names = names_in(folder, holds("adapter_config.json")); !names.empty())
    return fmt::format("a folder of {}", counted(names, "adapters"));
  if (const auto names = names_in(folder, is_cached_repository); !names.empty())
    return fmt::format("a Hugging Face cache of {}: name a snapshot in one of them",
                       counted(names, "repositories"));
  if (const auto names = names_in(folder, [](const fs::path& path) { return path.extension() == ".gguf"; });
      !names.empty())
    return fmt::format("a folder of {}, which are not read: name a Hugging Face folder with *.safetensors",
                       counted(names, "GGUF files"));
  return "";
}

void refuse_other_folder(const fs::path& folder) {
  const std::string what = is_there(folder / "config.json") ? "" : what_folder_is(folder);
  if (!what.empty())
    fail_data("{}: no model in Hugging Face form (config.json is missing), but {}", folder.string(), what);
}

void require_model_folder(const fs::path& folder) {
  const fs::path config = folder / "config.json";
  if (const auto target = broken_link(config))
    fail_data("{}: a link to {}, which is not there", config.string(), target->string());
  refuse_other_folder(folder);
  if (!is_there(config))
    fail_data("{}: no such file; expected a model folder in Hugging Face form", config.string());
}

}  // namespace rocket
