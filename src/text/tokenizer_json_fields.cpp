#include "text/tokenizer_json_fields.h"

#include <limits>

#include "base/error.h"
#include "formats/json_reader.h"
#include "text/unicode.h"

namespace rocket {

using nlohmann::json;

const json& member(const json& object, const std::string& key, const std::string& part) {
  if (!object.is_object()) fail_data("{}: expected an object, found {}", part, object.type_name());
  const auto found = object.find(key);
  if (found == object.end()) fail_data("{}: `{}` is missing", part, key);
  return *found;
}

bool is_absent(const json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null();
}

std::string string_of(const json& value, const std::string& part) {
  if (!value.is_string()) fail_data("{}: expected a string, found {}", part, value.type_name());
  return value.get<std::string>();
}

std::string string_at(const json& object, const std::string& key, const std::string& part) {
  return string_of(member(object, key, part), part + "." + key);
}

bool flag_at(const json& object, const std::string& key, bool absent, const std::string& part) {
  if (is_absent(object, key)) return absent;
  const json& value = object.at(key);
  if (!value.is_boolean()) fail_data("{}.{}: expected true or false, found {}", part, key, value.type_name());
  return value.get<bool>();
}

TokenId id_of(const json& value, const std::string& part) {
  if (!value.is_number_integer()) fail_data("{}: expected a token id, found {}", part, value.type_name());
  const bool fits = value.is_number_unsigned()
                        ? value.get<std::uint64_t>() < std::uint64_t{std::numeric_limits<TokenId>::max()}
                        : value.get<std::int64_t>() >= 0;
  if (!fits) fail_data("{}: {} is no token id", part, shown(value));
  return value.get<TokenId>();
}

const json& list_of(const json& value, const std::string& part) {
  if (!value.is_array()) fail_data("{}: expected a list, found {}", part, value.type_name());
  return value;
}

std::string mark_at(const json& object, const std::string& key, const std::string& part) {
  const std::string text = string_at(object, key, part);
  if (text.empty() || utf8_length(text, 0) != text.size())
    fail_data("{}.{}: expected one character, found '{}'", part, key, text);
  return text;
}

std::size_t count_at(const json& object, const std::string& key, const std::string& part) {
  return static_cast<std::size_t>(id_of(member(object, key, part), part + "." + key));
}

}  // namespace rocket
