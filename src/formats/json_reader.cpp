#include "formats/json_reader.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "formats/json_problem.h"
#include "formats/json_words.h"

namespace rocket {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxOrderedKeys = 20'000;  // ordered_json looks keys up one by one

/// NaN, Infinity and -Infinity as strings: where a number is read, they are none.
std::string with_non_finite_quoted(std::string_view text) {
  std::string quoted;
  std::size_t copied = 0;
  for_each_json_word(text, [&](std::size_t at, std::string_view word) {
    if (!is_non_finite(word)) return;
    quoted.append(text.substr(copied, at - copied)).append("\"").append(word).append("\"");
    copied = at + word.size();
  });
  return quoted.append(text.substr(copied));
}

template <class Json>
Json parse_strictly(std::string_view text, const std::string& place, std::size_t max_keys) {
  std::string finite;
  if (may_hold_non_finite(text)) text = finite = with_non_finite_quoted(text);
  std::vector<std::set<std::string>> open;
  std::size_t keys = 0;
  auto check = [&](int depth, typename Json::parse_event_t event, Json& parsed) {
    using Event = typename Json::parse_event_t;
    if (depth > kMaxDepth) fail_data("{}: more than {} levels of JSON", place, kMaxDepth);
    if (event == Event::object_start) open.emplace_back();
    if (event == Event::object_end) open.pop_back();
    if (event == Event::key) {
      if (++keys > max_keys) fail_data("{}: more than {} keys", place, max_keys);
      const auto& key = parsed.template get_ref<const std::string&>();
      if (!open.back().insert(key).second) fail_data("{}: key '{}' stands twice in one object", place, key);
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), check);
  } catch (const nlohmann::json::parse_error& e) {
    fail_json_file(place, text, e.byte, e.what());
  } catch (const nlohmann::json::exception& e) {  // a number beyond double
    fail_data("{}: no valid JSON: {}", place, e.what());
  }
}

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& place) {
  return parse_strictly<nlohmann::json>(text, place, text.size() + 1);
}

nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& place) {
  return parse_strictly<nlohmann::ordered_json>(text, place, kMaxOrderedKeys);
}

JsonObject::JsonObject(const Json& value, std::string place, std::string prefix)
    : value_(value), place_(std::move(place)), prefix_(std::move(prefix)) {
}

JsonObject::Json JsonObject::read(const std::filesystem::path& file) {
  Json value = parse_ordered_json(read_file(file), file.string());
  if (!value.is_object()) fail_data("{}: expected a JSON object, got {}", file.string(), shown(value));
  return value;
}

const JsonObject::Json* JsonObject::find(const std::string& key) const {
  const auto it = value_.find(key);
  return it == value_.end() || it->is_null() ? nullptr : &*it;
}

void JsonObject::refuse(const std::string& key, const std::string& message) const {
  fail_data("{}: key '{}{}': {}", place_, prefix_, key, message);
}

void JsonObject::wrong(const std::string& key, const std::string& expected) const {
  const Json* found = find(key);
  refuse(key, fmt::format("expected {}, got {}", expected, found ? shown(*found) : "nothing"));
}

namespace {

bool in_range(const JsonObject::Json& value, std::int64_t min, std::int64_t max) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX))
    return false;
  const auto n = value.get<std::int64_t>();
  return n >= min && n <= max;
}

}  // namespace

std::int64_t JsonObject::integer(const std::string& key, std::int64_t min, std::int64_t max,
                                 std::optional<std::int64_t> fallback) const {
  const Json* found = find(key);
  if (!found && fallback) return *fallback;
  if (!found || !in_range(*found, min, max)) wrong(key, fmt::format("a whole number in [{}, {}]", min, max));
  return found->get<std::int64_t>();
}

double JsonObject::number(const std::string& key, double above, std::optional<double> fallback) const {
  const Json* found = find(key);
  if (!found && fallback) return *fallback;
  const double n = found && found->is_number() ? found->get<double>() : NAN;
  if (!std::isfinite(n) || !(n > above))
    wrong(key, std::isfinite(above) ? fmt::format("a number above {}", above) : "a number");
  return n;
}

bool JsonObject::boolean(const std::string& key, bool fallback) const {
  const Json* found = find(key);
  if (!found) return fallback;
  if (!found->is_boolean()) wrong(key, "true or false");
  return found->get<bool>();
}

std::string JsonObject::text(const std::string& key, std::optional<std::string> fallback) const {
  const Json* found = find(key);
  if (!found && fallback) return *fallback;
  if (!found || !found->is_string()) wrong(key, "a string");
  return found->get<std::string>();
}

std::vector<std::int64_t> JsonObject::integers(const std::string& key, std::int64_t min,
                                               std::int64_t max) const {
  const Json* found = find(key);
  std::vector<std::int64_t> all;
  if (!found) return all;
  const auto take = [&](const Json& one) {
    if (!in_range(one, min, max))
      wrong(key, fmt::format("a whole number in [{}, {}] or a list of them", min, max));
    all.push_back(one.get<std::int64_t>());
  };
  if (found->is_array()) {
    for (const Json& one : *found) take(one);
  } else {
    take(*found);
  }
  return all;
}

std::vector<double> JsonObject::numbers(const std::string& key, double above) const {
  const Json* found = find(key);
  const auto is_one = [&](const Json& n) {
    return n.is_number() && std::isfinite(n.get<double>()) && n.get<double>() > above;
  };
  if (!found || !found->is_array() || !std::ranges::all_of(*found, is_one))
    wrong(key, fmt::format("a list of numbers above {}", above));
  return found->get<std::vector<double>>();
}

std::vector<std::string> JsonObject::texts(const std::string& key) const {
  const Json* found = find(key);
  std::vector<std::string> all;
  if (!found) return all;
  if (!found->is_array()) wrong(key, "a list of strings");
  for (const Json& one : *found) {
    if (!one.is_string()) wrong(key, "a list of strings");
    all.push_back(one.get<std::string>());
  }
  return all;
}

JsonObject JsonObject::object(const std::string& key) const {
  static const Json empty = Json::object();
  const Json* found = find(key);
  if (found && !found->is_object()) wrong(key, "an object");
  return JsonObject(found ? *found : empty, place_, prefix_ + key + ".");
}

}  // namespace rocket
