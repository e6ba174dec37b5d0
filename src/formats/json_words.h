// What stands outside of the strings of a JSON text: numbers, true, null; and NaN, which JSON lacks.
#pragma once

#include <cstddef>
#include <string_view>

namespace rocket {

/// A letter, a digit, a sign or a point.
inline bool is_in_json_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == '+' || c == '.';
}

/// A number that is none, as Python's json module writes it.
inline bool is_non_finite(std::string_view word) {
  return word == "NaN" || word == "Infinity" || word == "-Infinity";
}

/// Cheap: whether a text can hold such a word.
inline bool may_hold_non_finite(std::string_view text) {
  return text.find("NaN") != std::string_view::npos || text.find("Infinity") != std::string_view::npos;
}

/// Calls use(place, word) for each word outside of strings.
template <class F>
void for_each_json_word(std::string_view text, F&& use) {
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at + 1;
    if (text[at] == '"') {
      while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
      ++end;
    } else if (is_in_json_word(text[at])) {
      while (end < text.size() && is_in_json_word(text[end])) ++end;
      use(at, text.substr(at, end - at));
    }
    at = end;
  }
}

}  // namespace rocket
