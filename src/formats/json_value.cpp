#include "formats/json_value.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "base/error.h"
#include "formats/json_problem.h"
#include "formats/json_words.h"

namespace rocket {
namespace {

using Kind = JsonValue::Kind;

constexpr std::size_t kMaxDepth = 64;

/// A number that JSON lacks, and how many numbers stand before it.
struct NonFinite {
  std::size_t number;
  std::string written;
};

/// Puts a zero, with white space behind it, in place of each such number, so that places in the text stay.
std::vector<NonFinite> take_non_finite(std::string& text) {
  std::vector<NonFinite> found;
  std::size_t number = 0;
  for_each_json_word(std::string(text), [&](std::size_t at, std::string_view word) {
    if (is_non_finite(word)) {
      found.push_back({number, std::string(word)});
      text.replace(at, word.size(), "0" + std::string(word.size() - 1, ' '));
    }
    number += is_non_finite(word) || word[0] == '-' || (word[0] >= '0' && word[0] <= '9');
  });
  return found;
}

/// The handler of nlohmann's event parser: its method names are fixed.
class TreeBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  TreeBuilder(JsonValue& root, std::string_view text, const std::string& place,
              std::span<const NonFinite> non_finite)
      : root_(root), text_(text), place_(place), non_finite_(non_finite) {}

  bool null() override { return add(Kind::null, ""); }
  bool boolean(bool value) override { return add(Kind::boolean, value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return number(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return number(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& written) override { return number(written); }
  bool string(string_t& value) override { return add(Kind::string, std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Kind::object); }
  bool start_array(std::size_t) override { return open(Kind::array); }
  bool end_object() override {
    refuse_twins(open_.back()->keys);
    return close();
  }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    open_.back()->keys.push_back(std::move(name));
    return true;
  }

  bool parse_error(std::size_t byte, const std::string&, const nlohmann::json::exception& e) override {
    fail_data("{}: {}", place_, no_valid_json(text_, byte, e.what()));
  }

 private:
  /// Where the next value goes: a new item of what is open (under the key just read), or the root.
  JsonValue& slot() { return open_.empty() ? root_ : open_.back()->items.emplace_back(); }

  bool add(Kind kind, std::string text) {
    JsonValue& value = slot();
    value.kind = kind;
    value.text = std::move(text);
    return true;
  }

  bool number(std::string written) {
    if (!non_finite_.empty() && non_finite_.front().number == numbers_) {
      written = non_finite_.front().written;
      non_finite_ = non_finite_.subspan(1);
    }
    ++numbers_;
    return add(Kind::number, std::move(written));
  }

  bool open(Kind kind) {
    if (open_.size() == kMaxDepth) fail_data("{}: more than {} levels of JSON", place_, kMaxDepth);
    JsonValue& value = slot();
    value.kind = kind;
    open_.push_back(&value);  // stays in place: its list grows again only after it is closed
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  void refuse_twins(const std::vector<std::string>& keys) const {
    std::vector<std::string_view> sorted(keys.begin(), keys.end());
    std::ranges::sort(sorted);
    const auto twin = std::ranges::adjacent_find(sorted);
    if (twin != sorted.end()) fail_data("{}: key '{}' stands twice in one object", place_, *twin);
  }

  JsonValue& root_;
  std::string_view text_;
  const std::string& place_;
  std::span<const NonFinite> non_finite_;  // those that are to come
  std::size_t numbers_ = 0;                // read so far
  std::vector<JsonValue*> open_;
};

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump();
}

void append_json(const JsonValue& value, std::string& text) {
  if (value.kind == Kind::null) text += "null";
  if (value.kind == Kind::boolean || value.kind == Kind::number) text += value.text;
  if (value.kind == Kind::string) text += quoted(value.text);
  if (value.kind != Kind::array && value.kind != Kind::object) return;
  const bool object = value.kind == Kind::object;
  text += object ? '{' : '[';
  for (std::size_t i = 0; i < value.items.size(); ++i) {
    if (i > 0) text += ',';
    if (object) text += quoted(value.keys[i]) + ':';
    append_json(value.items[i], text);
  }
  text += object ? '}' : ']';
}

const JsonValue* item_at(const JsonValue& list, std::string_view index) {
  std::size_t i = 0;
  const auto [end, error] = std::from_chars(index.data(), index.data() + index.size(), i);
  const bool whole = error == std::errc() && end == index.data() + index.size();
  return whole && i < list.items.size() ? &list.items[i] : nullptr;
}

}  // namespace

const JsonValue* JsonValue::find(std::string_view key) const {
  const auto it = std::find(keys.begin(), keys.end(), key);
  return it == keys.end() ? nullptr : &items[static_cast<std::size_t>(it - keys.begin())];
}

JsonValue* JsonValue::find(std::string_view key) {
  return const_cast<JsonValue*>(std::as_const(*this).find(key));
}

const JsonValue* find_path(const JsonValue& value, std::string_view path) {
  if (const JsonValue* found = value.find(path)) return found;
  const std::size_t dot = path.find('.');
  const std::string_view head = path.substr(0, dot);
  const JsonValue* next = value.kind == Kind::array ? item_at(value, head) : value.find(head);
  if (!next || dot == std::string_view::npos) return next;
  return find_path(*next, path.substr(dot + 1));
}

JsonValue* find_path(JsonValue& value, std::string_view path) {
  return const_cast<JsonValue*>(find_path(std::as_const(value), path));
}

bool is_non_finite(const JsonValue& value) {
  return value.kind == Kind::number && is_non_finite(std::string_view(value.text));
}

void refuse_non_finite(const JsonValue& value, std::string_view where) {
  fail_data("{}: {}", where, non_finite_problem(value.text));
}

JsonValue json_string(std::string text) {
  return {Kind::string, std::move(text), {}, {}};
}

std::string_view name_of(JsonValue::Kind kind) {
  switch (kind) {
    case Kind::null:
      return "null";
    case Kind::boolean:
      return "a boolean";
    case Kind::number:
      return "a number";
    case Kind::string:
      return "a string";
    case Kind::array:
      return "a list";
    case Kind::object:
      return "an object";
  }
  fail_internal("unknown kind of JSON value");
}

std::string to_json(const JsonValue& value) {
  std::string text;
  append_json(value, text);
  return text;
}

JsonValue parse_json_value(std::string_view text, const std::string& place) {
  // A mark inside a file is no JSON; nlohmann would skip it in front of every line.
  if (text.starts_with("\xef\xbb\xbf")) fail_data("{}: {}", place, no_valid_json(text, 1, ""));
  std::string finite;
  std::vector<NonFinite> non_finite;
  if (may_hold_non_finite(text)) {
    finite = text;
    non_finite = take_non_finite(finite);
    text = finite;
  }
  JsonValue root;
  TreeBuilder builder(root, text, place, non_finite);
  nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  return root;
}

}  // namespace rocket
