// One JSON value as a small tree that keeps what nlohmann's drops: numbers as they are written.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rocket {

struct JsonValue {
  enum class Kind { null, boolean, number, string, array, object };
  Kind kind = Kind::null;
  std::string text;               // of a string; of a number as written, also NaN; "true" or "false"
  std::vector<JsonValue> items;   // of a list or an object, in file order
  std::vector<std::string> keys;  // of an object, one for each item

  /// nullptr if this is no object or has no such member.
  const JsonValue* find(std::string_view key) const;
  JsonValue* find(std::string_view key);
};

/// A number that is none: NaN, Infinity or -Infinity, as Python's json module writes them. They may stand
/// where nobody reads them.
bool is_non_finite(const JsonValue& value);

/// Throws data (65) "<where>: ..." of a number that is none.
[[noreturn]] void refuse_non_finite(const JsonValue& value, std::string_view where);

/// The text of a string, or a number as it is written; nullptr: it is neither. `where()` says what stands in
/// front of the message ("<place>: key 'x'"). Throws data (65): a number that is none.
template <class F>
const std::string* text_or_number(const JsonValue& value, F&& where) {
  if (is_non_finite(value)) refuse_non_finite(value, where());
  return value.kind == JsonValue::Kind::string || value.kind == JsonValue::Kind::number ? &value.text
                                                                                        : nullptr;
}

/// Follows "a.b": member b of the object a, or of the list a by number, from 0. A key that holds the dot
/// itself wins. nullptr where there is none.
const JsonValue* find_path(const JsonValue& value, std::string_view path);
JsonValue* find_path(JsonValue& value, std::string_view path);

JsonValue json_string(std::string text);

/// "null", "a boolean", "a number", "a string", "a list" or "an object".
std::string_view name_of(JsonValue::Kind kind);

/// On one line, keys in their order, numbers as they are written; reading it gives the same value.
std::string to_json(const JsonValue& value);

/// NaN, Infinity and -Infinity are read as numbers. Throws data (65) "<place>: ...": no JSON, invalid UTF-8,
/// a key twice in one object, more than 64 levels.
JsonValue parse_json_value(std::string_view text, const std::string& place);

}  // namespace rocket
