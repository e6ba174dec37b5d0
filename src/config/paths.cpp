#include "config/paths.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <regex>

#include "base/hub_cache.h"
#include "base/input_files.h"

namespace rocket {
namespace {

/// What a folder may be that is not there: a link, or a name on the Hugging Face hub.
std::string absent(const std::string& path) {
  if (const auto target = broken_link(path))
    return fmt::format("{} is a link to {}, which is not there", path, target->string());
  static const std::regex hub_name(R"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)");
  const std::string text = fmt::format("{} does not exist", path);
  if (!std::regex_match(path, hub_name) || fs::exists(fs::path(path).parent_path())) return text;
  if (const auto repository = cached_repository(path))
    if (const auto snapshot = current_snapshot(*repository))
      return fmt::format("{} here. The Hugging Face cache has it: name the folder {}", text,
                         snapshot->string());
  return fmt::format(
      "{} here. Only local folders are read: `hf download {} --local-dir DIR` fetches it from the "
      "Hugging Face hub; then name DIR",
      text, path);
}

/// What a file is that stands where a folder is expected.
std::string no_folder(const std::string& path) {
  if (!path.ends_with(".gguf")) return fmt::format("{} is not a folder", path);
  return fmt::format(
      "{} is a GGUF file, which is not read: name a Hugging Face folder with config.json, "
      "*.safetensors and tokenizer.json",
      path);
}

// Empty if all is well.
std::string folder_problem(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return absent(path);
  if (!fs::is_directory(status)) return no_folder(path);
  if (::access(path.c_str(), R_OK) != 0) return fmt::format("{} may not be read", path);
  return "";
}

std::string file_problem(const std::string& path) {
  return input_problem(path);
}

class Checker {
 public:
  Checker(const RunConfig& config, Problems& problems) : config_(config), problems_(problems) {}

  void check(Input input) {
    switch (input) {
      case Input::base:
        return one("base.path", config_.base.path, folder_problem);
      case Input::bank:
        return adapters();
      case Input::shots:
        return one("task.shots", config_.task.shots, file_problem);
      case Input::evaluation:
        return one("task.evaluation", config_.task.evaluation, file_problem);
      case Input::corpus:
        return patterns("corpus.records", config_.corpus.records);
      case Input::encoder:
        return one("encoder.path", config_.encoder.path, folder_problem);
      case Input::rationalizer:
        if (!config_.rationalize.adapter.empty())
          one("rationalize.adapter", config_.rationalize.adapter, folder_problem);
        return;
      case Input::adapter_records:
        return patterns("adapter.records", config_.adapter.records);
      case Input::prompts:
        if (config_.generate.output.empty()) add_unset("generate.output");
        return patterns("generate.input", config_.generate.input);
      case Input::system:
        return system();
    }
  }

 private:
  void add(const std::string& key, const std::string& what) {
    if (!what.empty()) problems_.add(config_.location(key), key, what);
  }

  void add_unset(const std::string& key) {
    const std::string section = key.substr(0, key.find('.'));
    if (!problems_.concern(key) && !problems_.concern(section)) add(key, "not set, and this job reads it");
  }

  void one(const std::string& key, const std::string& path, std::string (*problem)(const std::string&)) {
    if (path.empty()) return add_unset(key);
    add(key, problem(path));
  }

  void adapters() {
    const OneOrList& source = config_.bank.adapters;
    if (source.list.empty()) return one("bank.adapters", source.one, folder_problem);
    for (const std::string& folder : source.list) add("bank.adapters", folder_problem(folder));
  }

  /// An adapter is one of the bank; examples in front of a prompt come from the shots.
  void system() {
    const std::string& name = config_.generate.system;
    const auto& rivals = rival_names();
    const bool adapter = name != "expert" && std::find(rivals.begin(), rivals.end(), name) == rivals.end();
    if (adapter) adapters();
    if (config_.task.fewshot > 0 || name.ends_with("in_context")) check(Input::shots);
  }

  void patterns(const std::string& key, const std::vector<std::string>& patterns) {
    if (patterns.empty()) return add_unset(key);
    for (const std::string& pattern : patterns) add(key, match_files(pattern).problem);
  }

  const RunConfig& config_;
  Problems& problems_;
};

}  // namespace

void check_paths(const RunConfig& config, std::span<const Input> inputs, Problems& problems) {
  Checker checker(config, problems);
  for (const Input input : inputs) checker.check(input);
}

void require_paths(const RunConfig& config, std::span<const Input> inputs) {
  Problems problems;
  check_paths(config, inputs, problems);
  problems.throw_if_any();
}

}  // namespace rocket
