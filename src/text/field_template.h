// Texts over the fields of a JSON object: "Question: {question}\nAnswer:".
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/json_value.h"

namespace rocket {

/// The value that `path` leads to: "name", "a.b", "choices.text[0]" (items of a list count from 0). nullptr:
/// there is none, or it is null.
const JsonValue* find_field(const JsonValue& object, std::string_view path);

/// The same with "text[0]" written as "text.0" and without "[*]": as find_path and the readers of columns
/// take it.
std::string plain_path(std::string_view path);

/// The field as a text: a string, a number as it is written, "true" or "false". Throws data (65)
/// "<place>: <setting>: ...": there is no such field, or it is a list or an object.
std::string field_text(const JsonValue& object, std::string_view path, std::string_view place,
                       std::string_view setting);

/// Text with the names of fields in braces; {{ and }} stand for the braces themselves. A line with [*] behind
/// a list stands there once for each of its items: "{choices.label[*]}. {choices.text[*]}".
class FieldTemplate {
 public:
  /// `setting` is what holds the text, for messages. Throws config (78): a brace without its partner, or an
  /// empty name.
  FieldTemplate(std::string_view text, std::string setting);

  /// Single pass, nothing stripped. Throws data (65) as field_text does, and where the lists of a line are of
  /// different lengths.
  std::string render(const JsonValue& object, std::string_view place) const;
  /// The values of its fields alone, a line each.
  std::string values(const JsonValue& object, std::string_view place) const;
  /// The paths of its fields, each once, in the order of the text.
  const std::vector<std::string>& fields() const { return fields_; }

 private:
  /// A text, or the path of a field.
  struct Part {
    std::string text;
    bool is_field = false;
  };
  using Line = std::vector<Part>;

  /// How often a line stands there; nullopt: once, since it holds no [*].
  std::optional<std::size_t> times(const Line& line, const JsonValue& object, std::string_view place) const;

  std::string setting_;
  std::vector<Line> lines_;
  std::vector<std::string> fields_;
};

}  // namespace rocket
