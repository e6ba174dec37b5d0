#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "config/document.h"
#include "config/expand.h"
#include "config/run_config.h"
#include "config/settings.h"
#include "config/value.h"

namespace rocket {
namespace {

std::string scalar(const std::string& text) {
  return quote_text(escape_variables(text));
}

std::string list(const std::vector<std::string>& items) {
  std::vector<std::string> printed(items.size());
  std::transform(items.begin(), items.end(), printed.begin(), scalar);
  return fmt::format("[{}]", fmt::join(printed, ", "));
}

// Readers of YAML 1.1 take a number for text if its exponent stands behind no point.
std::string number(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find('.') == std::string::npos) text.insert(std::min(text.find('e'), text.size()), ".0");
  return text;
}

struct YamlPrinter {
  bool path;

  std::string operator()(const std::string* value) const {
    return path && value->empty() ? "null" : scalar(*value);
  }
  std::string operator()(const std::optional<std::string>* value) const {
    return *value ? scalar(**value) : "null";
  }
  std::string operator()(const bool* value) const { return *value ? "true" : "false"; }
  std::string operator()(const std::uint64_t* value) const { return std::to_string(*value); }
  std::string operator()(const std::int64_t* value) const { return std::to_string(*value); }
  std::string operator()(const std::optional<std::int64_t>* value) const {
    return *value ? std::to_string(**value) : "null";
  }
  std::string operator()(const double* value) const { return number(*value); }
  std::string operator()(const ByteSize* value) const { return format_bytes(value->bytes); }
  std::string operator()(const std::vector<std::string>* value) const {
    return path && value->empty() ? "null" : list(*value);
  }
  std::string operator()(const std::vector<double>* value) const {
    std::vector<std::string> numbers(value->size());
    std::transform(value->begin(), value->end(), numbers.begin(), number);
    return fmt::format("[{}]", fmt::join(numbers, ", "));
  }
  std::string operator()(const FieldMap* value) const {
    std::vector<std::string> pairs;
    for (const auto& [ours, theirs] : *value) pairs.push_back(ours + ": " + scalar(theirs));
    return fmt::format("{{{}}}", fmt::join(pairs, ", "));
  }
  std::string operator()(const OneOrList* value) const {
    return value->list.empty() ? (*this)(&value->one) : list(value->list);
  }
  std::string operator()(const FewshotDraw* value) const {
    return value->seed ? std::to_string(*value->seed) : "first";
  }
  std::string operator()(const FilterChoice* value) const {
    if (value->pattern.empty()) return "null";
    return fmt::format("{{pattern: {}, group: {}, take: {}}}", scalar(value->pattern), (*this)(&value->group),
                       value->take);
  }
  std::string operator()(const TemplateChoice* value) const {
    if (!value->name.empty()) return scalar(value->name);
    return fmt::format("{{with_input: {}, without_input: {}}}", scalar(value->with_input),
                       scalar(value->without_input));
  }
};

struct JsonPrinter {
  using json = nlohmann::json;

  template <class T>
  json operator()(const T* value) const {
    return *value;
  }
  template <class T>
  json operator()(const std::optional<T>* value) const {
    return *value ? json(**value) : json();
  }
  json operator()(const ByteSize* value) const { return value->bytes; }
  json operator()(const OneOrList* value) const {
    return value->list.empty() ? json(value->one) : json(value->list);
  }
  json operator()(const FewshotDraw* value) const { return value->seed ? json(*value->seed) : json("first"); }
  json operator()(const FilterChoice* value) const {
    if (value->pattern.empty()) return json();
    return {{"pattern", value->pattern}, {"group", (*this)(&value->group)}, {"take", value->take}};
  }
  json operator()(const TemplateChoice* value) const {
    if (!value->name.empty()) return value->name;
    return {{"with_input", value->with_input}, {"without_input", value->without_input}};
  }
};

// Slots are of a RunConfig that may change, since the loader writes through them; printing only reads.
Slot slot_of(const Setting& setting, const RunConfig& config) {
  return setting.slot(const_cast<RunConfig&>(config));
}

/// It stands for a setting that is absent: results of before there was one stay valid.
bool is_empty_list_of_numbers(const Slot& slot) {
  const auto* list = std::get_if<std::vector<double>*>(&slot);
  return list != nullptr && (*list)->empty();
}

std::string yaml_value(const Setting& setting, const RunConfig& config) {
  return std::visit(YamlPrinter{setting.rule.path}, slot_of(setting, config));
}

std::string comment_of(const Setting& setting) {
  const std::string range = describe(setting.rule);
  if (!setting.rule.allowed.empty()) return fmt::format("{}; {}", range, setting.comment);
  return range.empty() ? setting.comment : fmt::format("{} ({})", setting.comment, range);
}

std::string print(const RunConfig& config, bool with_comments) {
  std::string text;
  std::string_view section;
  for (const Setting& setting : settings()) {
    if (setting.section() != section) {
      section = setting.section();
      text += fmt::format("{}{}:\n", with_comments ? "\n" : "", section);
    }
    std::string line =
        fmt::format("{}{}: {}", section.empty() ? "" : "  ", setting.name(), yaml_value(setting, config));
    if (with_comments) line = fmt::format("{:<34}  # {}", line, comment_of(setting));
    text += line + "\n";
  }
  return text;
}

bool covers(std::string_view key_path, const Setting& setting) {
  return setting.key == key_path || (!setting.section().empty() && setting.section() == key_path);
}

nlohmann::json parse_object(std::string_view text) {
  nlohmann::json parsed = nlohmann::json::parse(text, nullptr, false);
  if (!parsed.is_object()) fail_data("stored settings are not a JSON object: '{}'", text.substr(0, 80));
  return parsed;
}

std::string value_at(const nlohmann::json& object, const std::string& key) {
  return object.contains(key) ? object[key].dump() : "";
}

}  // namespace

std::string to_yaml(const RunConfig& config) {
  return print(config, false);
}

std::string defaults_yaml() {
  return "# Every setting with its default; null: has no default, and is needed only by the jobs that read "
         "it (run: by\n"
         "# all). Made from the code by a test, see README.md beside this file; not to be edited by hand.\n" +
         print(RunConfig(), true);
}

std::string canonical(const RunConfig& config, std::span<const std::string> key_paths) {
  nlohmann::json chosen = nlohmann::json::object();
  for (const std::string& key_path : key_paths) {
    if (find_setting(key_path) == nullptr && !is_section(key_path))
      fail_internal("no setting '{}'", key_path);
    for (const Setting& setting : settings()) {
      const Slot slot = slot_of(setting, config);
      if (covers(key_path, setting) && !is_empty_list_of_numbers(slot))
        chosen[setting.key] = std::visit(JsonPrinter(), slot);
    }
  }
  return chosen.dump();
}

std::vector<SettingChange> setting_changes(std::string_view was, std::string_view now) {
  const nlohmann::json old_values = parse_object(was), new_values = parse_object(now);
  nlohmann::json all = old_values;
  all.update(new_values);
  std::vector<SettingChange> changes;
  for (const auto& [key, unused] : all.items()) {
    SettingChange change{key, value_at(old_values, key), value_at(new_values, key)};
    if (change.was != change.now) changes.push_back(std::move(change));
  }
  return changes;
}

}  // namespace rocket
