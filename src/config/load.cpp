#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/nearest.h"
#include "config/document.h"
#include "config/paths.h"
#include "config/run_config.h"
#include "config/settings.h"
#include "config/value.h"

namespace rocket {
namespace {

struct Override {
  std::string key;
  Source source;
  YAML::Node value;
};

// Walks a mapping down to its settings.
class Loader {
 public:
  Loader(RunConfig& config, Problems& problems, const std::vector<Override>& overrides)
      : config_(config), problems_(problems), overrides_(overrides) {}

  /// The settings of the file that task.use names; those that are read later go before them.
  void read_used_task(const YAML::Node& root, const Source& source) {
    find_use(root, source);
    for (const Override& o : overrides_)
      if (o.key == kUse) read(o.key, o.value, o.source.name, o.source);
    const std::string file = std::exchange(config_.task.use, "");
    if (file.empty()) return;
    const YAML::Node task = in_context(fmt::format("{}: {}", config_.location(kUse), kUse),
                                       [&] { return parse_yaml_file(file); });
    for_each_key(task, {file}, "task", problems_,
                 [&](const std::string& key, const YAML::Node& value, const std::string& where) {
                   if (key == kUse)
                     problems_.add(where, key, "the file of a task cannot use another one");
                   else if (key == "task.task")
                     problems_.add(where, "task",
                                   "the file of a task holds the settings of this section alone");
                   else
                     read(key, value, where, {file});
                 });
  }

  void read_file(const YAML::Node& root, const Source& source) {
    for_each_key(root, source, "", problems_,
                 [&](const std::string& key, const YAML::Node& value, const std::string& where) {
                   read(key, value, where, source);
                 });
  }

  void read_overrides() {
    for (const Override& o : overrides_) read(o.key, o.value, o.source.name, o.source);
  }

 private:
  static constexpr const char* kUse = "task.use";

  void find_use(const YAML::Node& root, const Source& source) {
    for (const auto& section : root) {
      if (!section.first.IsScalar() || section.first.Scalar() != "task" || !section.second.IsMap()) continue;
      for (const auto& pair : section.second)
        if (pair.first.IsScalar() && pair.first.Scalar() == "use")
          read(kUse, pair.second, source.at(pair.first.Mark()), source);
    }
  }

  void read(const std::string& key, const YAML::Node& value, const std::string& where, const Source& source) {
    if (const Setting* setting = find_setting(key)) {
      if (source.has_lines && is_overridden(key) && holds_variable(value)) return;
      read_setting(*setting, value, where, source, config_, problems_);
    } else if (is_section(key)) {
      read_section(key, value, where, source);
    } else {
      problems_.add(where, key,
                    fmt::format("unknown key; did you mean '{}'?", nearest_key(key, known_keys())));
    }
  }

  void read_section(const std::string& section, const YAML::Node& value, const std::string& where,
                    const Source& source) {
    config_.locations.try_emplace(section, where);
    if (value.IsNull()) return;
    if (!value.IsMap()) {
      problems_.add(where, section,
                    fmt::format("expected a mapping of keys to values, found {}", found_text(value)));
      return;
    }
    for_each_key(value, source, section, problems_,
                 [&](const std::string& key, const YAML::Node& child, const std::string& child_where) {
                   read(key, child, child_where, source);
                 });
  }

  bool is_overridden(const std::string& key) const {
    return std::any_of(overrides_.begin(), overrides_.end(), [&](const Override& o) { return o.key == key; });
  }

  // A value that --set replaces is still checked, but the variables that it names need not be set.
  static bool holds_variable(const YAML::Node& value) {
    return to_flow(value).find("${") != std::string::npos;
  }

  RunConfig& config_;
  Problems& problems_;
  const std::vector<Override>& overrides_;
};

std::vector<Override> parse_overrides(const std::vector<std::string>& texts, Problems& problems) {
  std::vector<Override> overrides;
  for (const std::string& text : texts) {
    const Source source{"--set " + text, false};
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      problems.add_line(fmt::format("{}: expected key.path=value", source.name));
      continue;
    }
    try {
      overrides.push_back({text.substr(0, equals), source, parse_yaml(text.substr(equals + 1), source)});
    } catch (const Error& e) {
      problems.add_line(e.what());
    }
  }
  return overrides;
}

/// A setting that the kind of answer does not read would be ignored in silence.
void check_answer_options(const RunConfig::Task& task, const RunConfig& config, Problems& problems) {
  const auto unread = [&](const char* key, bool set, bool read, const char* kinds) {
    if (set && !read)
      problems.add(config.location(key), key,
                   fmt::format("has no effect with task.answer {}: it is for {}", task.answer, kinds));
  };
  const bool regex = task.answer == "regex", compared_as_text = regex || task.answer == "exact";
  const bool read_off = task.answer != "multiple_choice";
  for (const auto& [key, set] : {std::pair{"task.pattern", task.pattern.has_value()},
                                 std::pair{"task.filter", !task.filter.pattern.empty()},
                                 std::pair{"task.gold_filter", !task.gold_filter.pattern.empty()},
                                 std::pair{"task.stop", !task.stop.empty()}})
    unread(key, set, read_off, "answers in generations");
  unread("task.ignore_patterns", !task.ignore_patterns.empty(), task.answer == "exact", "exact");
  unread("task.take", task.take != "first", regex, "regex");
  unread("task.ignore_case", task.ignore_case, compared_as_text, "exact and regex");
  unread("task.ignore_punctuation", task.ignore_punctuation, compared_as_text, "exact and regex");
  unread("task.yes_words", !task.yes_words.empty(), task.answer == "boolean", "boolean");
  unread("task.no_words", !task.no_words.empty(), task.answer == "boolean", "boolean");
  unread("task.packages", !task.packages.empty(), task.answer == "code", "code");
}

/// What choices need, and what makes no sense without them.
void check_choices(const RunConfig::Task& task, const RunConfig& config, Problems& problems) {
  const auto need = [&](const char* key, bool set, const char* because, const std::string& why) {
    if (!set && !problems.concern(key))
      problems.add(config.location(because), key, fmt::format("not set, and {} needs it", why));
  };
  const auto is_set = [](const OneOrList& source) { return !source.one.empty() || !source.list.empty(); };
  const bool has_choices = is_set(task.choices);
  if (task.answer == "multiple_choice") need("task.choices", has_choices, "task.answer", "multiple_choice");
  if (has_choices) need("task.gold", task.gold.has_value(), "task.choices", "task.choices");
  if (is_set(task.labels)) need("task.choices", has_choices, "task.labels", "task.labels");
}

/// Examples in front of an item are some of the shots that are used.
void check_examples(const RunConfig& config, Problems& problems) {
  const auto check = [&](const char* key, std::int64_t examples) {
    if (examples > config.task.k && !problems.concern(key))
      problems.add(config.location(key), key,
                   fmt::format("{} examples, but only {} shots are used (task.k)", examples, config.task.k));
  };
  check("task.fewshot", config.task.fewshot);
  const bool in_context = std::ranges::any_of(config.evaluation.rivals, [](const std::string& rival) {
    return rival == "in_context" || rival == "best_single_in_context";
  });
  if (in_context) check("evaluation.in_context", config.evaluation.in_context);
}

void check_together(const RunConfig& config, Problems& problems) {
  const auto& experts = config.experts;
  if (experts.names.empty() && experts.count > experts.candidates && !problems.concern("experts.count") &&
      !problems.concern("experts.candidates")) {
    const bool count_is_set = config.locations.count("experts.count") != 0;
    problems.add(config.location(count_is_set ? "experts.count" : "experts.candidates"), "experts.count",
                 fmt::format("{} experts (N) cannot be chosen from {} candidates (experts.candidates, M)",
                             experts.count, experts.candidates));
  }
  const auto& task = config.task;
  if (task.answer == "regex" && !task.pattern && !problems.concern("task.pattern")) {
    problems.add(config.location("task.answer"), "task.pattern",
                 "not set, and task.answer regex needs a pattern with one group");
  }
  check_answer_options(task, config, problems);
  check_choices(task, config, problems);
  check_examples(config, problems);
  if (config.run.empty() && !problems.concern("run")) {
    problems.add(config.location("run"), "run", "not set; the run directory has no default");
  }
}

}  // namespace

std::string RunConfig::location(const std::string& key) const {
  for (const std::string& place : {key, key.substr(0, key.find('.'))}) {
    if (const auto found = locations.find(place); found != locations.end()) return found->second;
  }
  return file + ":1";
}

RunConfig load_config(const fs::path& file, const std::vector<std::string>& overrides,
                      std::span<const Input> inputs) {
  return load_config(file, overrides,
                     [&](const RunConfig&) { return std::vector(inputs.begin(), inputs.end()); });
}

RunConfig load_config(const fs::path& file, const std::vector<std::string>& overrides,
                      const std::function<std::vector<Input>(const RunConfig&)>& inputs_of) {
  const YAML::Node root = parse_yaml_file(file);
  RunConfig config;
  config.file = file.string();
  Problems problems;
  const std::vector<Override> parsed = parse_overrides(overrides, problems);
  Loader loader(config, problems, parsed);
  loader.read_used_task(root, {file.string()});
  loader.read_file(root, {file.string()});
  loader.read_overrides();
  config.task.use.clear();
  check_together(config, problems);
  check_paths(config, inputs_of(config), problems);
  problems.throw_if_any();
  return config;
}

}  // namespace rocket
