// JSON files of other programs, read strictly: duplicate keys, deep nesting and wrong types are errors that
// name the file and the key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rocket {

/// Parses one JSON text. `place` (a file, or a file and line) stands in front of every message. NaN, Infinity
/// and -Infinity, which Python writes, become strings: nobody who reads a number takes them for one. Throws
/// data (65): no JSON, invalid UTF-8, a key twice in one object, more than 64 levels.
nlohmann::json parse_json(std::string_view text, const std::string& place);

/// The same, keeping the order of keys. For small files: at most 20,000 keys.
nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& place);

/// The value as JSON for a message, shortened. Never throws on bytes that are no UTF-8.
template <class Json>
std::string shown(const Json& value) {
  std::string text =
      value.is_discarded() ? "nothing" : value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() <= 60) return text;
  std::size_t end = 57;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // no half characters
  return text.substr(0, end) + "...";
}

/// An object of a JSON file with typed access. A null counts as absent, as in the files of Hugging Face.
/// Every function throws data (65) "<place>: key 'x': expected ..., got ...".
class JsonObject {
 public:
  using Json = nlohmann::ordered_json;

  /// `prefix` is the path to this object inside the file ("" or "rope_parameters.").
  JsonObject(const Json& value, std::string place, std::string prefix = "");

  /// Reads and parses a file that holds one object; throws data (65) if it holds something else.
  static Json read(const std::filesystem::path& file);

  const Json& value() const { return value_; }
  /// nullptr if absent or null.
  const Json* find(const std::string& key) const;
  bool has(const std::string& key) const { return find(key) != nullptr; }

  /// An absent key takes `fallback`; without one it is an error.
  std::int64_t integer(const std::string& key, std::int64_t min, std::int64_t max,
                       std::optional<std::int64_t> fallback = {}) const;
  /// A finite number, strictly above `above`.
  double number(const std::string& key, double above, std::optional<double> fallback = {}) const;
  bool boolean(const std::string& key, bool fallback) const;
  std::string text(const std::string& key, std::optional<std::string> fallback = {}) const;
  /// A whole number or a list of them, as *_token_id keys are written; absent: none.
  std::vector<std::int64_t> integers(const std::string& key, std::int64_t min, std::int64_t max) const;
  /// A list of finite numbers, each strictly above `above`.
  std::vector<double> numbers(const std::string& key, double above) const;
  /// A list of strings; absent: none.
  std::vector<std::string> texts(const std::string& key) const;
  /// The object under `key`; an empty one if absent.
  JsonObject object(const std::string& key) const;

  [[noreturn]] void wrong(const std::string& key, const std::string& expected) const;
  /// "<place>: key '<key>': <message>"
  [[noreturn]] void refuse(const std::string& key, const std::string& message) const;
  const std::string& place() const { return place_; }

 private:
  const Json& value_;
  std::string place_, prefix_;
};

}  // namespace rocket
