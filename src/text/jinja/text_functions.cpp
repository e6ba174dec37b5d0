#include "text/jinja/text_functions.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "text/jinja/printed.h"
#include "text/unicode.h"

namespace rocket::jinja {
namespace {

constexpr auto kNowhere = std::string_view::npos;

bool is_letter(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

void append_simple_upper(std::string& text, utf8proc_int32_t c) {
  append_utf8(text, static_cast<char32_t>(utf8proc_toupper(c)));
}

/// A small letter that folds to several characters has several capital ones: \u00df is SS.
void append_upper(std::string& text, char32_t c) {
  const auto code = static_cast<utf8proc_int32_t>(c);
  std::array<utf8proc_int32_t, 4> folded{};
  int boundary = 0;
  const auto count =
      utf8proc_decompose_char(code, folded.data(), folded.size(), UTF8PROC_CASEFOLD, &boundary);
  if (count <= 1 || count > 4 || utf8proc_category(code) == UTF8PROC_CATEGORY_LU)
    return append_simple_upper(text, code);
  for (utf8proc_ssize_t i = 0; i < count; ++i) append_simple_upper(text, folded[static_cast<std::size_t>(i)]);
}

void append_title(std::string& text, char32_t c) {
  append_utf8(text, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
}

template <class Append>
std::string each(std::string_view text, Append&& append) {
  std::string changed;
  for (std::size_t at = 0; at < text.size();) append(changed, next_code_point(text, at));
  return changed;
}

bool is_among(const std::string* characters, std::string_view text, std::size_t begin, std::size_t end) {
  std::size_t at = begin;
  const char32_t c = next_code_point(text, at);
  if (!characters) return is_python_space(c);
  return characters->find(text.substr(begin, end - begin)) != kNowhere;
}

std::size_t before(std::string_view text, std::size_t end) {
  do --end;
  while (end > 0 && is_utf8_continuation(text[end]));
  return end;
}

/// Parts of a text, at the cost of the budget.
class Parts {
 public:
  explicit Parts(Budget& budget) : budget_(budget) {}
  void add(std::string_view part) {
    budget_.spend_bytes(part.size() + 2 * sizeof(Value));
    parts_.emplace_back(part);
  }
  std::vector<Value> take() { return std::move(parts_); }

 private:
  Budget& budget_;
  std::vector<Value> parts_;
};

std::vector<Value> split_at_space(std::string_view text, std::int64_t at_most, Budget& budget) {
  Parts parts(budget);
  text = stripped(text, Side::left, nullptr);
  while (!text.empty() && at_most != 0) {
    std::size_t end = 0, behind = 0;
    while (behind < text.size() && !is_python_space(next_code_point(text, behind))) end = behind;
    parts.add(text.substr(0, end));
    text = stripped(text.substr(end), Side::left, nullptr);
    --at_most;
  }
  if (!text.empty()) parts.add(stripped(text, Side::right, nullptr));
  return parts.take();
}

std::vector<Value> split_from_right(std::string_view text, std::string_view separator, std::int64_t at_most,
                                    Budget& budget) {
  Parts parts(budget);
  for (; at_most != 0; --at_most) {
    const std::size_t found = text.rfind(separator);
    if (found == kNowhere) break;
    parts.add(text.substr(found + separator.size()));
    text = text.substr(0, found);
  }
  parts.add(text);
  std::vector<Value> all = parts.take();
  std::ranges::reverse(all);
  return all;
}

bool ends_line(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

/// "%05d": what stands between % and the letter.
struct Width {
  bool left = false, zeros = false;
  std::size_t width = 0;
};

Width width_of(std::string_view text, std::size_t& at) {
  Width found;
  for (; at < text.size() && (text[at] == '-' || text[at] == '0'); ++at)
    (text[at] == '-' ? found.left : found.zeros) = true;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), found.width);
  at = static_cast<std::size_t>(end - text.data());
  if (error == std::errc::result_out_of_range || found.width > 10'000)
    refuse("a width above 10000 in a text with %");
  return found;
}

std::string padded(std::string text, const Width& width) {
  const std::size_t length = count_characters(text);
  if (length >= width.width) return text;
  const std::size_t missing = width.width - length;
  if (width.left) return text + std::string(missing, ' ');
  if (!width.zeros) return std::string(missing, ' ') + text;
  return text.insert(text.starts_with('-') ? 1 : 0, std::string(missing, '0'));
}

std::string of_letter(char letter, const Value& value, Width width, Budget& budget) {
  if (letter == 's' || letter == 'r') {
    width.zeros = false;
    return padded(letter == 's' ? printed(value, budget) : represented(value, budget), width);
  }
  if (letter != 'd' && letter != 'i') refuse("%{} in a text is not known: %s, %d, %i, %r and %% are", letter);
  if (!value.is_number()) refuse("%{} takes a number, got a '{}'", letter, value.type());
  if (value.is_integer()) return padded(std::to_string(value.integer()), width);
  if (!(std::abs(value.number()) < 9e18))
    refuse("%{} of {} is beyond 64 bits", letter, number_text(value.number()));
  return padded(std::to_string(static_cast<std::int64_t>(value.number())), width);
}

}  // namespace

std::size_t found_in(std::string_view text, std::string_view part, std::size_t from) {
  if (from > text.size()) return kNowhere;
  const void* found = ::memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return found ? static_cast<std::size_t>(static_cast<const char*>(found) - text.data()) : kNowhere;
}

std::string_view stripped(std::string_view text, Side side, const std::string* characters) {
  while (side != Side::right && !text.empty()) {
    std::size_t behind = 0;
    next_code_point(text, behind);
    if (!is_among(characters, text, 0, behind)) break;
    text.remove_prefix(behind);
  }
  while (side != Side::left && !text.empty()) {
    const std::size_t begin = before(text, text.size());
    if (!is_among(characters, text, begin, text.size())) break;
    text = text.substr(0, begin);
  }
  return text;
}

std::string upper(std::string_view text) {
  return each(text, append_upper);
}

std::string lower(std::string_view text) {
  return each(text, append_lower_case);
}

std::string capitalized(std::string_view text) {
  if (text.empty()) return "";
  std::size_t at = 0;
  std::string changed;
  append_title(changed, next_code_point(text, at));
  return changed + lower(text.substr(at));
}

std::string titled(std::string_view text) {
  bool in_word = false;
  return each(text, [&](std::string& changed, char32_t c) {
    if (in_word)
      append_lower_case(changed, c);
    else
      append_title(changed, c);
    in_word = is_letter(c);
  });
}

std::string titled_words(std::string_view text) {
  bool begins = true;
  return each(text, [&](std::string& changed, char32_t c) {
    if (begins)
      append_upper(changed, c);
    else
      append_lower_case(changed, c);
    begins =
        is_python_space(c) || (c < 0x80 && std::string_view("-({[<").find(static_cast<char>(c)) != kNowhere);
  });
}

std::string replaced(std::string_view text, std::string_view old, std::string_view by, std::int64_t at_most,
                     Budget& budget) {
  std::string changed;
  const auto add = [&](std::string_view part) {
    budget.spend_bytes(part.size());
    changed += part;
  };
  std::size_t at = 0;
  for (; at_most != 0; --at_most) {
    const std::size_t found = found_in(text, old, at);
    if (found == kNowhere) break;
    add(text.substr(at, found - at));
    add(by);
    at = found + old.size();
    if (!old.empty()) continue;
    if (at >= text.size()) return changed;  // nothing stands before each character and at the end
    const std::size_t begin = at;
    next_code_point(text, at);
    add(text.substr(begin, at - begin));
  }
  add(text.substr(std::min(at, text.size())));
  return changed;
}

std::vector<Value> split(std::string_view text, const std::string* separator, std::int64_t at_most,
                         bool from_right, Budget& budget) {
  if (separator && separator->empty()) refuse("split: the separator is empty");
  if (!separator && from_right && at_most >= 0) refuse("rsplit at white space with a limit is not known");
  if (!separator) return split_at_space(text, at_most, budget);
  if (from_right) return split_from_right(text, *separator, at_most, budget);
  Parts parts(budget);
  for (; at_most != 0; --at_most) {
    const std::size_t found = found_in(text, *separator);
    if (found == kNowhere) break;
    parts.add(text.substr(0, found));
    text.remove_prefix(found + separator->size());
  }
  parts.add(text);
  return parts.take();
}

std::vector<Value> split_lines(std::string_view text, bool keep_ends, Budget& budget) {
  Parts lines(budget);
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = at;
    const char32_t c = next_code_point(text, at);
    if (!ends_line(c)) continue;
    if (c == '\r' && text.substr(at).starts_with('\n')) ++at;
    lines.add(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.add(text.substr(begin));
  return lines.take();
}

std::string percent_formatted(std::string_view text, const std::vector<Value>& values, Budget& budget) {
  std::string formatted;
  std::size_t next = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] != '%') {
      formatted += text[at++];
      continue;
    }
    const Width width = width_of(text, ++at);
    if (at >= text.size()) refuse("a text that ends with %");
    const char letter = text[at++];
    if (letter == '%') {
      formatted += '%';
      continue;
    }
    if (next >= values.size()) refuse("fewer values than the text has places for");
    formatted += of_letter(letter, values[next++], width, budget);
    budget.spend_bytes(width.width);
  }
  if (next < values.size()) refuse("more values than the text has places for");
  return formatted;
}

std::string brace_formatted(std::string_view text, const Arguments& arguments, Budget& budget) {
  std::string formatted;
  std::size_t next = 0;
  bool by_number = false;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at++];
    const bool brace = c == '{' || c == '}';
    if (!brace || text.substr(at).starts_with(c)) {
      formatted += c;
      at += brace ? 1 : 0;
      continue;
    }
    const std::size_t close = c == '{' ? text.find('}', at) : kNowhere;
    if (close == kNowhere) refuse("format: a brace without its partner");
    const std::string_view name = text.substr(at, close - at);
    at = close + 1;
    std::size_t place = next;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), place);
    const bool numbered = error == std::errc() && end == name.data() + name.size();
    if ((name.empty() && by_number) || (numbered && next > 0)) refuse("format: '{{}}' beside '{{0}}'");
    by_number = by_number || numbered;
    if (name.empty()) ++next;
    const auto named =
        std::ranges::find_if(arguments.named, [&](const auto& given) { return given.first == name; });
    if ((name.empty() || numbered) && place < arguments.positional.size())
      formatted += printed(arguments.positional[place], budget);
    else if (named != arguments.named.end())
      formatted += printed(named->second, budget);
    else
      refuse("format: '{{{}}}' names no argument; forms behind ':' are not known", name);
  }
  return formatted;
}

}  // namespace rocket::jinja
