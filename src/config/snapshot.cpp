#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "config/document.h"
#include "config/expand.h"
#include "config/sweep.h"

namespace rocket {
namespace {

/// Writes `text` into `folder`, under the name of `original` with the text's hash, for reading only.
fs::path write_copy(const fs::path& original, const std::string& text, const fs::path& folder) {
  const std::string name = fmt::format("{}.{}.yaml", original.stem().string(), hash_text(text).substr(0, 12));
  const fs::path copy = folder / name;
  write_file(copy, text);
  std::error_code refused;  // by a file system without modes
  fs::permissions(copy, fs::perms::owner_write | fs::perms::group_write | fs::perms::others_write,
                  fs::perm_options::remove, refused);
  return copy;
}

/// A configuration as its copy holds it: the file that task.use names is copied into `folder`, too.
std::string text_of_copy(const fs::path& config, const fs::path& folder) {
  const YAML::Node root = parse_yaml_file(config);
  const YAML::Node use =
      root.IsMap() && root["task"] && root["task"].IsMap() ? root["task"]["use"] : YAML::Node();
  if (!use || !use.IsScalar()) return read_file(config);
  const fs::path used = expand_variables(use.Scalar()).text;
  const fs::path copy = write_copy(used, read_file(used), folder);
  YAML::Node changed = YAML::Clone(root);
  changed["task"]["use"] = escape_variables(copy.string());
  std::string text = fmt::format("# A copy of {}, whose task is a copy as well.\n", config.string());
  for (const auto& pair : changed) text += fmt::format("{}: {}\n", pair.first.Scalar(), to_flow(pair.second));
  return text;
}

bool same_points(const Sweep& a, const Sweep& b) {
  return std::ranges::equal(a.points, b.points, {}, &SweepPoint::name, &SweepPoint::name);
}

}  // namespace

fs::path snapshot_sweep(const fs::path& file, const fs::path& folder) {
  const Sweep sweep = load_sweep(file);
  parse_yaml_file(sweep.config);  // says what is wrong with it
  make_folders(folder);
  const fs::path config = write_copy(sweep.config, text_of_copy(sweep.config, folder), folder);
  std::string text = fmt::format("# A copy of {}, whose configuration is a copy as well.\n", file.string());
  for (const auto& pair : parse_yaml_file(file)) {
    const std::string key = pair.first.Scalar();
    text +=
        fmt::format("{}: {}\n", key,
                    key == "config" ? quote_text(escape_variables(config.string())) : to_flow(pair.second));
  }
  const fs::path copy = write_copy(file, text, folder);
  if (!same_points(sweep, load_sweep(copy)))
    fail_internal("{}: its copy {} has other points", file.string(), copy.string());
  return copy;
}

}  // namespace rocket
