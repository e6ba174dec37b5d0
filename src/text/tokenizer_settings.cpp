#include "text/tokenizer_settings.h"

#include "base/error.h"
#include "base/files.h"
#include "formats/json_reader.h"

namespace rocket {

namespace fs = std::filesystem;
using nlohmann::json;

json object_in(const fs::path& file) {
  if (!fs::exists(file)) return json::object();
  json value = parse_json(read_file(file), file.string());
  if (!value.is_object()) fail_data("{}: expected an object, found {}", file.string(), value.type_name());
  return value;
}

json tokenizer_settings(const fs::path& folder) {
  json values = object_in(folder / "tokenizer_config.json");
  if (values.contains("added_tokens_decoder")) return values;
  json map = object_in(folder / "special_tokens_map.json");
  const char* const extra = "extra_special_tokens";
  if (map.contains(extra) && map[extra].is_array() && values.contains(extra) && values[extra].is_array()) {
    values[extra].insert(values[extra].end(), map[extra].begin(), map[extra].end());
    map.erase(extra);
  }
  values.update(map);
  return values;
}

std::optional<std::string> token_in(const json& settings, const std::string& key) {
  const auto found = settings.find(key);
  if (found == settings.end() || found->is_null()) return std::nullopt;
  const json& content = found->is_object() && found->contains("content") ? (*found)["content"] : *found;
  if (!content.is_string())
    fail_data("tokenizer_config.json: {}: expected a token, found {}", key, shown(*found));
  return content.get<std::string>();
}

}  // namespace rocket
