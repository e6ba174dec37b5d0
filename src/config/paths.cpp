#include "config/paths.h"

#include <fmt/format.h>
#include <glob.h>
#include <unistd.h>

namespace rocket {
namespace {

enum class Kind { file, folder };

// Empty if all is well.
std::string problem_with(const std::string& path, Kind kind) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return fmt::format("{} does not exist", path);
  if (kind == Kind::folder && !fs::is_directory(status)) return fmt::format("{} is not a folder", path);
  if (kind == Kind::file && fs::is_directory(status)) return fmt::format("{} is a folder, not a file", path);
  if (::access(path.c_str(), R_OK) != 0) return fmt::format("{} may not be read", path);
  return "";
}

std::string problem_with_pattern(const std::string& pattern) {
  if (pattern.find_first_of("*?[") == std::string::npos || fs::exists(pattern))
    return problem_with(pattern, Kind::file);
  glob_t matches{};
  const int status = ::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &matches);
  ::globfree(&matches);
  return status == 0 ? "" : fmt::format("{} matches no file", pattern);
}

class Checker {
 public:
  Checker(const RunConfig& config, Problems& problems) : config_(config), problems_(problems) {}

  void check(Input input) {
    switch (input) {
      case Input::base:
        return one("base.path", config_.base.path, Kind::folder);
      case Input::bank:
        return adapters();
      case Input::shots:
        return one("task.shots", config_.task.shots, Kind::file);
      case Input::evaluation:
        return one("task.evaluation", config_.task.evaluation, Kind::file);
      case Input::corpus:
        return patterns("corpus.records", config_.corpus.records);
      case Input::encoder:
        return one("encoder.path", config_.encoder.path, Kind::folder);
      case Input::rationalizer:
        if (!config_.rationalize.adapter.empty())
          one("rationalize.adapter", config_.rationalize.adapter, Kind::folder);
        return;
      case Input::adapter_records:
        return patterns("adapter.records", config_.adapter.records);
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

  void one(const std::string& key, const std::string& path, Kind kind) {
    if (path.empty()) return add_unset(key);
    add(key, problem_with(path, kind));
  }

  void adapters() {
    const AdapterSource& source = config_.bank.adapters;
    if (source.folders.empty()) return one("bank.adapters", source.folder, Kind::folder);
    for (const std::string& folder : source.folders) add("bank.adapters", problem_with(folder, Kind::folder));
  }

  void patterns(const std::string& key, const std::vector<std::string>& patterns) {
    if (patterns.empty()) return add_unset(key);
    for (const std::string& pattern : patterns) add(key, problem_with_pattern(pattern));
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
