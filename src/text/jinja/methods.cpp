// The methods of texts, lists and objects.
#include <algorithm>
#include <array>
#include <functional>

#include "text/jinja/arguments.h"
#include "text/jinja/operators.h"
#include "text/jinja/printed.h"
#include "text/jinja/text_functions.h"
#include "text/unicode.h"

namespace rocket::jinja {
namespace {

using Invoke = Value (*)(const Value& self, Machine& machine, Arguments arguments);

struct Method {
  std::string_view name;
  Invoke call;
};

// Texts.

template <Side side>
Value strip(const Value& self, Machine& machine, Arguments arguments) {
  const Bound bound("strip", std::move(arguments), {"chars"});
  const std::string* characters = bound.has(0) && !bound[0].is_none() ? &bound.text(0) : nullptr;
  if (characters) machine.budget().spend_work(self.weight() * characters->size());
  return machine.made(std::string(stripped(self.text(), side, characters)));
}

template <bool from_right>
Value split_text(const Value& self, Machine& machine, Arguments arguments) {
  const Bound bound("split", std::move(arguments), {"sep", "maxsplit"});
  const std::string* separator = bound.has(0) && !bound[0].is_none() ? &bound.text(0) : nullptr;
  if (from_right && separator) machine.budget().spend_work(self.weight() * separator->size());
  return Value::list(split(self.text(), separator, bound.integer_or(1, -1), from_right, machine.budget()));
}

Value split_text_lines(const Value& self, Machine& machine, Arguments arguments) {
  const Bound bound("splitlines", std::move(arguments), {"keepends"});
  return Value::list(split_lines(self.text(), bound.flag(0, false), machine.budget()));
}

/// startswith and endswith: one text, or a tuple of which one fits.
template <bool at_end>
Value has_at(const Value& self, Machine& machine, Arguments arguments) {
  const Bound bound(at_end ? "endswith" : "startswith", std::move(arguments), {"prefix"});
  const auto fits = [&](const std::string& part) {
    return at_end ? self.text().ends_with(part) : self.text().starts_with(part);
  };
  const Sequence* several = bound[0].sequence();
  if (!several || several->shape != Shape::tuple) return fits(bound.text(0));
  return std::ranges::any_of(items_of(bound[0], machine.budget()), [&](const Value& part) {
    if (!part.is_text()) refuse("startswith and endswith take texts, got a '{}'", part.type());
    return fits(part.text());
  });
}

template <std::string (*change)(std::string_view)>
Value changed(const Value& self, Machine& machine, Arguments arguments) {
  const Bound bound("the method", std::move(arguments), {});
  return machine.made(change(self.text()));
}

Value replace(const Value& self, Machine& machine, Arguments arguments) {
  const Bound bound("replace", std::move(arguments), {"old", "new", "count"});
  return replaced(self.text(), bound.text(0), bound.text(1), bound.integer_or(2, -1), machine.budget());
}

/// Characters in front of a byte; -1: there is none.
Value place_of(const std::string& text, std::size_t byte) {
  if (byte == std::string::npos) return std::int64_t{-1};
  return static_cast<std::int64_t>(count_characters(std::string_view(text).substr(0, byte)));
}

Value find(const Value& self, Machine&, Arguments arguments) {
  const Bound bound("find", std::move(arguments), {"sub"});
  return place_of(self.text(), found_in(self.text(), bound.text(0)));
}

Value rfind(const Value& self, Machine& machine, Arguments arguments) {
  const Bound bound("rfind", std::move(arguments), {"sub"});
  machine.budget().spend_work(self.weight() * bound.text(0).size());
  return place_of(self.text(), self.text().rfind(bound.text(0)));
}

Value index_of_text(const Value& self, Machine&, Arguments arguments) {
  const Bound bound("index", std::move(arguments), {"sub"});
  const std::size_t found = found_in(self.text(), bound.text(0));
  if (found == std::string::npos) refuse("index: the text does not hold '{}'", bound.text(0));
  return place_of(self.text(), found);
}

Value count_in_text(const Value& self, Machine&, Arguments arguments) {
  const Bound bound("count", std::move(arguments), {"sub"});
  const std::string &text = self.text(), &part = bound.text(0);
  if (part.empty()) return static_cast<std::int64_t>(count_characters(text)) + 1;
  std::int64_t count = 0;
  for (std::size_t at = found_in(text, part); at != std::string::npos;
       at = found_in(text, part, at + part.size()))
    ++count;
  return count;
}

Value join(const Value& self, Machine& machine, Arguments arguments) {
  const Bound bound("join", std::move(arguments), {"iterable"});
  std::string text;
  bool first = true;
  for (const Value& item : items_of(bound[0], machine.budget())) {
    if (!item.is_text()) refuse("join: expected texts, got a '{}'", item.type());
    machine.budget().spend_bytes(self.text().size() + item.text().size());
    text += (first ? "" : self.text()) + item.text();
    first = false;
  }
  return text;
}

Value format(const Value& self, Machine& machine, Arguments arguments) {
  return machine.made(brace_formatted(self.text(), arguments, machine.budget()));
}

template <bool of_letters>
Value is_all(const Value& self, Machine&, Arguments arguments) {
  const Bound bound(of_letters ? "isalpha" : "isdigit", std::move(arguments), {});
  return !self.text().empty() && std::ranges::all_of(self.text(), [](unsigned char c) {
    if (c >= 0x80) refuse("isalpha and isdigit are known for ASCII alone");
    const unsigned char small = c | 0x20;
    return of_letters ? small >= 'a' && small <= 'z' : c >= '0' && c <= '9';
  });
}

Value is_space(const Value& self, Machine&, Arguments arguments) {
  const Bound bound("isspace", std::move(arguments), {});
  return !self.text().empty() && stripped(self.text(), Side::left, nullptr).empty();
}

Value remove_prefix(const Value& self, Machine& machine, Arguments arguments) {
  const Bound bound("removeprefix", std::move(arguments), {"prefix"});
  return machine.made(self.text().substr(self.text().starts_with(bound.text(0)) ? bound.text(0).size() : 0));
}

Value remove_suffix(const Value& self, Machine& machine, Arguments arguments) {
  const Bound bound("removesuffix", std::move(arguments), {"suffix"});
  const std::size_t taken = self.text().ends_with(bound.text(0)) ? bound.text(0).size() : 0;
  return machine.made(self.text().substr(0, self.text().size() - taken));
}

/// (before, separator, behind), at the first or the last separator.
template <bool last>
Value partition(const Value& self, Machine& machine, Arguments arguments) {
  const Bound bound("partition", std::move(arguments), {"sep"});
  const std::string &text = self.text(), &separator = bound.text(0);
  if (separator.empty()) refuse("partition: the separator is empty");
  machine.budget().spend_bytes(text.size());
  if (last) machine.budget().spend_work(self.weight() * separator.size());
  const std::size_t found = last ? text.rfind(separator) : found_in(text, separator);
  if (found == std::string::npos)
    return Value::list(last ? std::vector<Value>{"", "", text} : std::vector<Value>{text, "", ""},
                       Shape::tuple);
  return Value::list({text.substr(0, found), separator, text.substr(found + separator.size())}, Shape::tuple);
}

constexpr auto kOfText = std::to_array<Method>({{"strip", strip<Side::both>},
                                                {"lstrip", strip<Side::left>},
                                                {"rstrip", strip<Side::right>},
                                                {"split", split_text<false>},
                                                {"rsplit", split_text<true>},
                                                {"splitlines", split_text_lines},
                                                {"startswith", has_at<false>},
                                                {"endswith", has_at<true>},
                                                {"upper", changed<upper>},
                                                {"lower", changed<lower>},
                                                {"title", changed<titled>},
                                                {"capitalize", changed<capitalized>},
                                                {"replace", replace},
                                                {"find", find},
                                                {"rfind", rfind},
                                                {"index", index_of_text},
                                                {"count", count_in_text},
                                                {"join", join},
                                                {"format", format},
                                                {"isdigit", is_all<false>},
                                                {"isalpha", is_all<true>},
                                                {"isspace", is_space},
                                                {"removeprefix", remove_prefix},
                                                {"removesuffix", remove_suffix},
                                                {"partition", partition<false>},
                                                {"rpartition", partition<true>}});

/// What Python's str has beside these.
constexpr auto kOtherOfText = std::to_array<std::string_view>(
    {"casefold",  "center",       "encode",  "expandtabs", "format_map",  "isalnum",   "isascii",
     "isdecimal", "isidentifier", "islower", "isnumeric",  "isprintable", "istitle",   "isupper",
     "ljust",     "maketrans",    "rindex",  "rjust",      "swapcase",    "translate", "zfill"});

// Objects.

Value keys(const Value& self, Machine& machine, Arguments arguments) {
  const Bound bound("keys", std::move(arguments), {});
  return machine.made_list(items_of(self, machine.budget()), Shape::view);
}

Value values(const Value& self, Machine& machine, Arguments arguments) {
  const Bound bound("values", std::move(arguments), {});
  std::vector<Value> all;
  for (const auto& member : self.dict()->members) all.push_back(member.second);
  return machine.made_list(std::move(all), Shape::view);
}

Value members(const Value& self, Machine& machine, Arguments arguments) {
  const Bound bound("items", std::move(arguments), {});
  std::vector<Value> pairs;
  for (const auto& [key, value] : self.dict()->members)
    pairs.push_back(machine.made_list({key, value}, Shape::tuple));
  return machine.made_list(std::move(pairs), Shape::view);
}

Value get(const Value& self, Machine&, Arguments arguments) {
  const Bound bound("get", std::move(arguments), {"key", "default"});
  const Value* found = self.dict()->find(bound[0]);
  return found ? *found : bound.value_or(1, nullptr);
}

Value same(const Value& self, Machine&, Arguments arguments) {
  const Bound bound("copy", std::move(arguments), {});
  return self;
}

constexpr auto kOfDict = std::to_array<Method>(
    {{"keys", keys}, {"values", values}, {"items", members}, {"get", get}, {"copy", same}});

// Lists and tuples.

Value index_in_list(const Value& self, Machine&, Arguments arguments) {
  const Bound bound("index", std::move(arguments), {"value"});
  const std::vector<Value>& items = self.sequence()->items;
  const auto found = std::ranges::find_if(items, [&](const Value& item) { return equal(item, bound[0]); });
  if (found == items.end()) refuse("index: the list does not hold the value");
  return static_cast<std::int64_t>(found - items.begin());
}

Value count_in_list(const Value& self, Machine&, Arguments arguments) {
  const Bound bound("count", std::move(arguments), {"value"});
  return static_cast<std::int64_t>(std::ranges::count_if(
      self.sequence()->items, [&](const Value& item) { return equal(item, bound[0]); }));
}

constexpr auto kOfList =
    std::to_array<Method>({{"index", index_in_list}, {"count", count_in_list}, {"copy", same}});

/// What would change a list or an object, which transformers forbids.
constexpr auto kChanging =
    std::to_array<std::string_view>({"append", "extend", "insert", "remove", "pop", "clear", "sort",
                                     "reverse", "update", "popitem", "setdefault", "fromkeys"});

Value bound_method(const Value& self, const Method& method) {
  return Value::function(std::string(method.name),
                         [self, call = method.call](Machine& machine, Arguments arguments) {
                           std::size_t weight = self.weight();
                           for (const Value& argument : arguments.positional) weight += argument.weight();
                           machine.budget().spend_work(weight);
                           return call(self, machine, std::move(arguments));
                         });
}

Value refusing(std::string message) {
  return Value::function(message, [message](Machine&, const Arguments&) -> Value { refuse("{}", message); });
}

template <std::size_t N>
const Method* find_method(const std::array<Method, N>& methods, std::string_view name) {
  const auto found = std::ranges::find(methods, name, &Method::name);
  return found == methods.end() ? nullptr : &*found;
}

}  // namespace

std::optional<Value> method(const Value& value, std::string_view name) {
  const Method* found = value.is_text()    ? find_method(kOfText, name)
                        : value.dict()     ? find_method(kOfDict, name)
                        : value.sequence() ? find_method(kOfList, name)
                                           : nullptr;
  if (found) return bound_method(value, *found);
  if (value.is_text() && std::ranges::count(kOtherOfText, name) > 0)
    return refusing(fmt::format("the method '{}' of a text is not known here", name));
  const bool list = value.sequence() && value.sequence()->shape == Shape::list;
  if ((value.dict() || list) && std::ranges::count(kChanging, name) > 0)
    return refusing(fmt::format("the method '{}' would change a value, which templates may not", name));
  return std::nullopt;
}

}  // namespace rocket::jinja
