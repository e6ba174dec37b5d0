#include "text/jinja/value.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "text/jinja/budget.h"
#include "text/unicode.h"

namespace rocket::jinja {
namespace {

/// Lists in lists: more would end the program where they are compared, printed or let go.
constexpr int kMaxValueDepth = 64;
/// They are looked for one after the other.
constexpr std::size_t kMaxMembers = 10'000;
/// Beyond what any budget allows, and far from what its type holds.
constexpr std::size_t kMaxWeight = std::size_t{1} << 60;

int one_deeper(int depth) {
  if (depth >= kMaxValueDepth) refuse("more than {} levels of lists in lists", kMaxValueDepth);
  return depth + 1;
}

bool equal_items(const std::vector<Value>& a, const std::vector<Value>& b) {
  return std::ranges::equal(a, b, equal);
}

bool equal_dicts(const Dict& a, const Dict& b) {
  return a.members.size() == b.members.size() && std::ranges::all_of(a.members, [&](const auto& member) {
           const Value* other = b.find(member.first);
           return other && equal(member.second, *other);
         });
}

int sign_of(bool below, bool above) {
  return below ? -1 : above ? 1 : 0;
}

int order_of_items(const Sequence& a, const Sequence& b) {
  const std::size_t common = std::min(a.items.size(), b.items.size());
  for (std::size_t i = 0; i < common; ++i)
    if (!equal(a.items[i], b.items[i])) return order(a.items[i], b.items[i]);
  return sign_of(a.items.size() < b.items.size(), a.items.size() > b.items.size());
}

std::vector<Value> characters_of(const std::string& text) {
  std::vector<Value> characters;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    next_code_point(text, at);
    characters.emplace_back(text.substr(begin, at - begin));
  }
  return characters;
}

}  // namespace

const Value* Dict::find(const Value& key) const {
  const auto found =
      std::ranges::find_if(members, [&](const auto& member) { return equal(member.first, key); });
  return found == members.end() ? nullptr : &found->second;
}

const Value* Dict::find(std::string_view key) const {
  const auto found = std::ranges::find_if(
      members, [&](const auto& member) { return member.first.is_text() && member.first.text() == key; });
  return found == members.end() ? nullptr : &found->second;
}

const Value* Namespace::find(std::string_view name) const {
  const auto found = std::ranges::find_if(members, [&](const auto& member) { return member.first == name; });
  return found == members.end() ? nullptr : &found->second;
}

void Namespace::set(std::string_view name, Value value) {
  const auto found = std::ranges::find_if(members, [&](const auto& member) { return member.first == name; });
  if (found == members.end())
    members.emplace_back(name, std::move(value));
  else
    found->second = std::move(value);
}

Value Value::undefined(std::string message) {
  Value value;
  value.held_ = Undefined{std::move(message)};
  return value;
}

Value Value::list(std::vector<Value> items, Shape shape) {
  int depth = 0;
  std::size_t weight = 1;
  for (const Value& item : items) {
    depth = std::max(depth, item.depth());
    weight = std::min(kMaxWeight, weight + item.weight());
  }
  Value value;
  value.held_ =
      std::make_shared<const Sequence>(Sequence{std::move(items), shape, one_deeper(depth), weight});
  return value;
}

Value Value::dict(std::vector<std::pair<Value, Value>> members) {
  if (members.size() > kMaxMembers) refuse("a dict of more than {} members", kMaxMembers);
  Dict dict;
  int depth = 0;
  for (auto& [key, value] : members) {
    if (key.dict() || (key.sequence() && key.sequence()->shape != Shape::tuple))
      refuse("a '{}' cannot be the key of a dict", key.type());
    depth = std::max({depth, key.depth(), value.depth()});
    dict.weight = std::min(kMaxWeight, dict.weight + key.weight() + value.weight());
    if (const Value* there = dict.find(key))
      const_cast<Value&>(*there) = std::move(value);  // of `dict`, which is being made: the last one counts
    else
      dict.members.emplace_back(std::move(key), std::move(value));
  }
  dict.depth = one_deeper(depth);
  Value value;
  value.held_ = std::make_shared<const Dict>(std::move(dict));
  return value;
}

Value Value::iterator(std::vector<Value> items) {
  Value value;
  value.held_ = std::make_shared<Iterator>(Iterator{std::move(items), 0});
  return value;
}

Value Value::function(std::string name, std::function<Value(Machine&, Arguments)> call) {
  Value value;
  value.held_ = std::make_shared<const Function>(Function{std::move(name), std::move(call)});
  return value;
}

bool Value::is_true() const {
  if (is_undefined() || is_none()) return false;
  if (is_number()) return number() != 0;
  if (is_text()) return !text().empty();
  if (sequence()) return !sequence()->items.empty();
  if (dict()) return !dict()->members.empty();
  return true;
}

std::string_view Value::type() const {
  if (is_undefined()) return "Undefined";
  if (is_none()) return "NoneType";
  if (is_bool()) return "bool";
  if (is_float()) return "float";
  if (is_integer()) return "int";
  if (is_text()) return "str";
  if (dict()) return "dict";
  if (iterator()) return "generator";
  if (space()) return "Namespace";
  if (function()) return "function";
  switch (sequence()->shape) {
    case Shape::list:
      return "list";
    case Shape::tuple:
      return "tuple";
    case Shape::range:
      return "range";
    case Shape::view:
      break;
  }
  return "dict view";
}

int Value::depth() const {
  if (sequence()) return sequence()->depth;
  if (dict()) return dict()->depth;
  if (const Iterator* held = iterator()) {
    int depth = 0;
    for (const Value& item : held->items) depth = std::max(depth, item.depth());
    return one_deeper(depth);
  }
  return 0;
}

std::size_t Value::weight() const {
  if (is_text()) return 1 + text().size() / 16;
  if (sequence()) return sequence()->weight;
  if (dict()) return dict()->weight;
  return iterator() ? 1 + iterator()->items.size() : 1;
}

bool Value::is_same_object(const Value& other) const {
  if (sequence() || other.sequence()) return sequence() == other.sequence();
  if (dict() || other.dict()) return dict() == other.dict();
  if (iterator() || other.iterator()) return iterator() == other.iterator();
  return type() == other.type() && equal(*this, other);
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number())
    return a.is_integer() && b.is_integer() ? a.integer() == b.integer() : a.number() == b.number();
  if (a.is_text() && b.is_text()) return a.text() == b.text();
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (a.dict() && b.dict()) return equal_dicts(*a.dict(), *b.dict());
  if (a.sequence() && b.sequence())
    return a.sequence()->shape == b.sequence()->shape &&
           equal_items(a.sequence()->items, b.sequence()->items);
  if (a.space() || b.space()) return a.space() == b.space();
  if (a.function() || b.function()) return a.function() == b.function();
  return a.iterator() && a.iterator() == b.iterator();
}

int order(const Value& a, const Value& b) {
  for (const Value* value : {&a, &b})
    if (value->is_undefined()) refuse("{}", value->message());
  if (a.is_integer() && b.is_integer()) return sign_of(a.integer() < b.integer(), a.integer() > b.integer());
  if (a.is_number() && b.is_number()) return sign_of(a.number() < b.number(), a.number() > b.number());
  if (a.is_text() && b.is_text()) return sign_of(a.text() < b.text(), a.text() > b.text());
  if (a.sequence() && b.sequence() && a.sequence()->shape == b.sequence()->shape)
    return order_of_items(*a.sequence(), *b.sequence());
  refuse("a '{}' and a '{}' have no order", a.type(), b.type());
}

std::vector<Value> items_of(const Value& value, Budget& budget) {
  if (value.is_undefined()) return {};
  if (value.is_text()) {
    budget.spend_product(value.text().size(), 2 * sizeof(Value));
    return characters_of(value.text());
  }
  if (value.sequence()) {
    budget.spend_product(value.sequence()->items.size(), sizeof(Value));
    return value.sequence()->items;
  }
  if (const Dict* dict = value.dict()) {
    std::vector<Value> keys;
    budget.spend_product(dict->members.size(), sizeof(Value));
    for (const auto& member : dict->members) keys.push_back(member.first);
    return keys;
  }
  if (Iterator* iterator = value.iterator()) {
    const auto first = iterator->items.begin() + static_cast<std::ptrdiff_t>(iterator->next);
    iterator->next = iterator->items.size();
    return {first, iterator->items.end()};
  }
  refuse("a '{}' cannot be looped over", value.type());
}

std::int64_t length_of(const Value& value) {
  if (value.is_undefined()) return 0;
  if (value.is_text()) return static_cast<std::int64_t>(count_characters(value.text()));
  if (value.sequence()) return static_cast<std::int64_t>(value.sequence()->items.size());
  if (value.dict()) return static_cast<std::int64_t>(value.dict()->members.size());
  refuse("a '{}' has no length", value.type());
}

Value from_json(const nlohmann::ordered_json& json) {
  if (json.is_null()) return nullptr;
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_float()) return json.get<double>();
  if (json.is_number_unsigned() &&
      json.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
    refuse("{} is beyond 64 bits", json.dump());
  if (json.is_number()) return json.get<std::int64_t>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_array()) {
    std::vector<Value> items;
    for (const auto& item : json) items.push_back(from_json(item));
    return Value::list(std::move(items));
  }
  std::vector<std::pair<Value, Value>> members;
  for (const auto& [key, value] : json.items()) members.emplace_back(key, from_json(value));
  return Value::dict(std::move(members));
}

}  // namespace rocket::jinja
