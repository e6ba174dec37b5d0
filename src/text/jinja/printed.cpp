#include "text/jinja/printed.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "text/unicode.h"

namespace rocket::jinja {
namespace {

/// Text that is being made, at the cost of the budget.
class Writer {
 public:
  explicit Writer(Budget& budget) : budget_(budget) {}
  Writer& operator<<(std::string_view text) {
    budget_.spend_bytes(text.size());
    text_ += text;
    return *this;
  }
  std::string text() { return std::move(text_); }

 private:
  Budget& budget_;
  std::string text_;
};

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

std::string escaped_code(char32_t c) {
  const auto code = static_cast<std::uint32_t>(c);
  if (code <= 0xFF) return fmt::format("\\x{:02x}", code);
  return code <= 0xFFFF ? fmt::format("\\u{:04x}", code) : fmt::format("\\U{:08x}", code);
}

void represent_text(const std::string& text, Writer& out) {
  const bool has_single = text.find('\'') != std::string::npos,
             has_double = text.find('"') != std::string::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  std::string quoted(1, quote);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = next_code_point(text, at);
    if (c == '\n' || c == '\r' || c == '\t')
      quoted += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    else if (c == '\\' || c == static_cast<unsigned char>(quote))
      quoted += {'\\', static_cast<char>(c)};
    else if (is_printable(c))
      quoted += text.substr(begin, at - begin);
    else
      quoted += escaped_code(c);
  }
  out << quoted + quote;
}

void represent(const Value& value, Writer& out);

void represent_items(const std::vector<Value>& items, Writer& out) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out << ", ";
    represent(items[i], out);
  }
}

void represent_sequence(const Sequence& sequence, Writer& out) {
  if (sequence.shape == Shape::view || sequence.shape == Shape::range)
    refuse("a view of a dict or a range is printed: make a list of it");
  const bool tuple = sequence.shape == Shape::tuple;
  out << (tuple ? "(" : "[");
  represent_items(sequence.items, out);
  out << (tuple ? (sequence.items.size() == 1 ? ",)" : ")") : "]");
}

void represent_dict(const Dict& dict, Writer& out) {
  out << "{";
  for (std::size_t i = 0; i < dict.members.size(); ++i) {
    if (i > 0) out << ", ";
    represent(dict.members[i].first, out);
    out << ": ";
    represent(dict.members[i].second, out);
  }
  out << "}";
}

void represent(const Value& value, Writer& out) {
  if (value.is_undefined())
    out << "Undefined";
  else if (value.is_none())
    out << "None";
  else if (value.is_bool())
    out << (value.is_true() ? "True" : "False");
  else if (value.is_integer())
    out << std::to_string(value.integer());
  else if (value.is_float())
    out << number_text(value.number());
  else if (value.is_text())
    represent_text(value.text(), out);
  else if (value.sequence())
    represent_sequence(*value.sequence(), out);
  else if (value.dict())
    represent_dict(*value.dict(), out);
  else
    refuse("a '{}' is printed, which has no text", value.type());
}

std::string json_code(char32_t c) {
  const auto code = static_cast<std::uint32_t>(c);
  if (code <= 0xFFFF) return fmt::format("\\u{:04x}", code);
  return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10),
                     0xDC00 + ((code - 0x10000) & 0x3FF));
}

class JsonWriter {
 public:
  JsonWriter(const JsonForm& form, Budget& budget) : form_(form), out_(budget) {}

  std::string write(const Value& value) {
    add(value, 0);
    return out_.text();
  }

 private:
  void add(const Value& value, int level) {
    if (value.is_none())
      out_ << "null";
    else if (value.is_bool())
      out_ << (value.is_true() ? "true" : "false");
    else if (value.is_integer())
      out_ << std::to_string(value.integer());
    else if (value.is_float())
      out_ << json_number(value.number());
    else if (value.is_text())
      add_text(value.text());
    else if (value.sequence() &&
             (value.sequence()->shape == Shape::list || value.sequence()->shape == Shape::tuple))
      add_list(*value.sequence(), level);
    else if (value.dict())
      add_dict(*value.dict(), level);
    else
      refuse("tojson: a '{}' has no form in JSON{}{}", value.type(), value.is_undefined() ? ": " : "",
             value.is_undefined() ? value.message() : "");
  }

  static std::string json_number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return number_text(value);
  }

  void add_text(const std::string& text) {
    std::string quoted = "\"";
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t begin = at;
      const char32_t c = next_code_point(text, at);
      static constexpr std::string_view kPlain = "\"\\\n\r\t\b\f", kLetters = "\"\\nrtbf";
      const std::size_t escape = c < 0x80 ? kPlain.find(static_cast<char>(c)) : std::string_view::npos;
      if (escape != std::string_view::npos)
        quoted += {'\\', kLetters[escape]};
      else if (c < 0x20 || (form_.ascii && c > 0x7E))
        quoted += json_code(c);
      else
        quoted += text.substr(begin, at - begin);
    }
    out_ << quoted + "\"";
  }

  void begin_line(int level) {
    if (!form_.indent) return;
    out_ << "\n";
    for (int i = 0; i < level; ++i) out_ << *form_.indent;
  }

  void add_list(const Sequence& list, int level) {
    if (list.items.empty()) return void(out_ << "[]");
    out_ << "[";
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_ << form_.between_items;
      begin_line(level + 1);
      add(list.items[i], level + 1);
    }
    begin_line(level);
    out_ << "]";
  }

  void add_key(const Value& key) {
    if (key.is_text()) return add_text(key.text());
    if (!key.is_number() && !key.is_none()) refuse("tojson: a '{}' cannot be a key", key.type());
    out_ << "\"";
    add(key, 0);
    out_ << "\"";
  }

  void add_dict(const Dict& dict, int level) {
    if (dict.members.empty()) return void(out_ << "{}");
    std::vector<const std::pair<Value, Value>*> members;
    for (const auto& member : dict.members) members.push_back(&member);
    if (form_.sorted)
      std::ranges::stable_sort(members,
                               [](const auto* a, const auto* b) { return order(a->first, b->first) < 0; });
    out_ << "{";
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (i > 0) out_ << form_.between_items;
      begin_line(level + 1);
      add_key(members[i]->first);
      out_ << form_.behind_key;
      add(members[i]->second, level + 1);
    }
    begin_line(level);
    out_ << "}";
  }

  const JsonForm& form_;
  Writer out_;
};

}  // namespace

std::string number_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 40> buffer;
  const auto scientific =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific);
  const std::string text(buffer.data(), scientific.ptr);
  const int exponent = std::stoi(text.substr(text.find('e') + 1));
  if (exponent < -4 || exponent >= 16) return text;
  const auto fixed =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed);
  const std::string plain(buffer.data(), fixed.ptr);
  return plain.find('.') == std::string::npos ? plain + ".0" : plain;
}

std::string represented(const Value& value, Budget& budget) {
  Writer out(budget);
  represent(value, out);
  return out.text();
}

std::string printed(const Value& value, Budget& budget) {
  if (value.is_undefined()) return "";
  if (!value.is_text()) return represented(value, budget);
  budget.spend_bytes(value.text().size());
  return value.text();
}

std::string as_json(const Value& value, const JsonForm& form, Budget& budget) {
  return JsonWriter(form, budget).write(value);
}

}  // namespace rocket::jinja
