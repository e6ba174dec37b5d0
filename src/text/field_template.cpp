#include "text/field_template.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/error.h"

namespace rocket {
namespace {

using Kind = JsonValue::Kind;

std::string names_of_fields(const JsonValue& object) {
  return object.keys.empty() ? "none" : fmt::format("{}", fmt::join(object.keys, ", "));
}

constexpr std::string_view kEach = "[*]";

/// The path for the item `index` of what stands in front of [*].
std::string item_path(const std::string& path, std::size_t index) {
  const std::size_t each = path.find(kEach);
  if (each == std::string::npos) return path;
  return fmt::format("{}[{}]{}", path.substr(0, each), index, path.substr(each + kEach.size()));
}

}  // namespace

std::string plain_path(std::string_view path) {
  std::string plain;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t close = path[at] == '[' ? path.find(']', at) : std::string_view::npos;
    const std::string_view inside =
        close == std::string_view::npos ? std::string_view() : path.substr(at + 1, close - at - 1);
    const bool number =
        !inside.empty() && std::ranges::all_of(inside, [](unsigned char c) { return std::isdigit(c) != 0; });
    if (path.substr(at).starts_with(kEach)) return plain;  // the list is a column, its items are none
    if (number) {
      plain += plain.empty() ? "" : ".";
      plain += inside;
      at = close + 1;
    } else {
      plain += path[at++];
    }
  }
  return plain;
}

const JsonValue* find_field(const JsonValue& object, std::string_view path) {
  const JsonValue* found = find_path(object, path);
  if (!found) found = find_path(object, plain_path(path));
  return found && found->kind != Kind::null ? found : nullptr;
}

std::string field_text(const JsonValue& object, std::string_view path, std::string_view place,
                       std::string_view setting) {
  const JsonValue* found = find_field(object, path);
  if (!found)
    fail_data("{}: {}: no field '{}'; there are: {}", place, setting, path, names_of_fields(object));
  if (found->kind == Kind::array || found->kind == Kind::object)
    fail_data("{}: {}: field '{}': expected a string, a number or a boolean, got {}", place, setting, path,
              name_of(found->kind));
  text_or_number(*found, [&] { return fmt::format("{}: {}: field '{}'", place, setting, path); });
  return found->text;
}

FieldTemplate::FieldTemplate(std::string_view text, std::string setting)
    : setting_(std::move(setting)), lines_(1) {
  std::string plain;
  const auto end_plain = [&] {
    if (!plain.empty()) lines_.back().push_back({std::exchange(plain, ""), false});
  };
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    if (rest.starts_with("{{") || rest.starts_with("}}")) {
      plain += text[at];
      at += 2;
    } else if (text[at] == '}') {
      fail_config("{}: '}}' at byte {} closes nothing; a plain one is written }}}}", setting_, at);
    } else if (text[at] == '{') {
      const std::size_t close = text.find_first_of("{}", at + 1);
      if (close == std::string_view::npos || text[close] == '{')
        fail_config("{}: '{{' at byte {} is not closed; a plain one is written {{{{", setting_, at);
      const std::string path(text.substr(at + 1, close - at - 1));
      if (path.empty()) fail_config("{}: '{{}}' at byte {} names no field", setting_, at);
      end_plain();
      lines_.back().push_back({path, true});
      if (std::ranges::find(fields_, path) == fields_.end()) fields_.push_back(path);
      at = close + 1;
    } else {
      plain += text[at];
      if (text[at++] != '\n') continue;
      end_plain();
      lines_.emplace_back();
    }
  }
  end_plain();
}

std::optional<std::size_t> FieldTemplate::times(const Line& line, const JsonValue& object,
                                                std::string_view place) const {
  std::optional<std::size_t> times;
  std::string first;
  for (const Part& part : line) {
    const std::size_t each = part.is_field ? part.text.find(kEach) : std::string::npos;
    if (each == std::string::npos) continue;
    const std::string list = part.text.substr(0, each);
    const JsonValue* found = find_field(object, list);
    if (!found || found->kind != Kind::array)
      fail_data("{}: {}: field '{}': expected a list, got {}", place, setting_, list,
                found ? name_of(found->kind) : "nothing");
    if (times && *times != found->items.size())
      fail_data("{}: {}: '{}' has {} items, and '{}' in the same line has {}", place, setting_, first, *times,
                list, found->items.size());
    times = found->items.size();
    first = list;
  }
  return times;
}

std::string FieldTemplate::render(const JsonValue& object, std::string_view place) const {
  std::string text;
  for (const Line& line : lines_) {
    const std::size_t count = times(line, object, place).value_or(1);
    for (std::size_t i = 0; i < count; ++i) {
      for (const Part& part : line)
        text += part.is_field ? field_text(object, item_path(part.text, i), place, setting_) : part.text;
    }
  }
  return text;
}

std::string FieldTemplate::values(const JsonValue& object, std::string_view place) const {
  std::string text;
  for (const std::string& field : fields_) {
    const std::size_t count = times({{field, true}}, object, place).value_or(1);
    for (std::size_t i = 0; i < count; ++i) {
      if (!text.empty()) text += '\n';
      text += field_text(object, item_path(field, i), place, setting_);
    }
  }
  return text;
}

}  // namespace rocket
