#include "text/jinja/operators.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "text/jinja/printed.h"
#include "text/jinja/text_functions.h"
#include "text/unicode.h"

namespace rocket::jinja {
namespace {

[[noreturn]] void refuse_operands(std::string_view sign, const Value& a, const Value& b) {
  for (const Value* value : {&a, &b})
    if (value->is_undefined()) refuse("{}", value->message());
  refuse("the operator {} takes no '{}' and '{}'", sign, a.type(), b.type());
}

[[noreturn]] void refuse_overflow() {
  refuse("the result is beyond 64 bits");
}

std::int64_t floor_divided(std::int64_t a, std::int64_t b) {
  if (b == -1 && a == INT64_MIN) refuse_overflow();
  const std::int64_t quotient = a / b;
  return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

std::int64_t power(std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  for (std::int64_t i = 0; i < exponent && result != 0 && !(base == 1 || (base == -1 && i > 1)); ++i)
    if (__builtin_mul_overflow(result, base, &result)) refuse_overflow();
  return base == -1 ? (exponent % 2 == 0 ? 1 : -1) : result;
}

Value of_integers(std::string_view sign, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (sign == "+" && !__builtin_add_overflow(a, b, &result)) return result;
  if (sign == "-" && !__builtin_sub_overflow(a, b, &result)) return result;
  if (sign == "*" && !__builtin_mul_overflow(a, b, &result)) return result;
  if (sign == "+" || sign == "-" || sign == "*") refuse_overflow();
  if (sign == "**")
    return b < 0 ? Value(std::pow(static_cast<double>(a), static_cast<double>(b))) : Value(power(a, b));
  if (b == 0) refuse("division by zero");
  if (sign == "/") return static_cast<double>(a) / static_cast<double>(b);
  const std::int64_t quotient = floor_divided(a, b);
  return sign == "//" ? quotient : a - quotient * b;
}

Value of_floats(std::string_view sign, double a, double b) {
  if (sign == "+") return a + b;
  if (sign == "-") return a - b;
  if (sign == "*") return a * b;
  if (sign == "**") return std::pow(a, b);
  if (b == 0) refuse("division by zero");
  if (sign == "/") return a / b;
  const double rest = std::fmod(a, b), modulo = rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
  return sign == "%" ? modulo : std::floor((a - modulo) / b + 0.5);
}

/// What is joined to a text that is marked safe is escaped, as Markup does it.
Value added(const Value& a, const Value& b, Machine& machine) {
  const bool safe = a.is_safe() || b.is_safe();
  const auto part = [&](const Value& value) {
    return safe && !value.is_safe() ? html_escaped(value.text()) : value.text();
  };
  return machine.made(part(a) + part(b), safe);
}

Value repeated(const Value& value, std::int64_t times, Machine& machine) {
  const std::size_t count = times > 0 ? static_cast<std::size_t>(times) : 0;
  if (value.is_text()) {
    machine.budget().spend_product(value.text().size(), count);
    std::string text;
    for (std::size_t i = 0; i < count && !value.text().empty(); ++i) text += value.text();
    return text;
  }
  const std::vector<Value>& once = value.sequence()->items;
  machine.budget().spend_product(once.size() * sizeof(Value), count);
  std::vector<Value> items;
  for (std::size_t i = 0; i < count && !once.empty(); ++i)
    items.insert(items.end(), once.begin(), once.end());
  return Value::list(std::move(items), value.sequence()->shape);
}

bool can_be_repeated(const Value& value) {
  const Sequence* sequence = value.sequence();
  return value.is_text() || (sequence && (sequence->shape == Shape::list || sequence->shape == Shape::tuple));
}

Value chained(const Sequence& a, const Sequence& b, Machine& machine) {
  std::vector<Value> items = a.items;
  items.insert(items.end(), b.items.begin(), b.items.end());
  return machine.made_list(std::move(items), a.shape);
}

/// Python's slice.indices(): where it begins, ends, and its step.
struct Range {
  std::int64_t begin, end, step;
};

std::int64_t clamped(const Value& bound, std::int64_t otherwise, std::int64_t length, std::int64_t step) {
  if (bound.is_none()) return otherwise;
  if (!bound.is_integer()) refuse("the bounds of a slice are ints or none, got a '{}'", bound.type());
  const std::int64_t at = bound.integer() < 0 ? bound.integer() + length : bound.integer();
  return step > 0 ? std::clamp<std::int64_t>(at, 0, length) : std::clamp<std::int64_t>(at, -1, length - 1);
}

Range range_of(std::int64_t length, const Value& begin, const Value& end, const Value& step_value) {
  const std::int64_t step = step_value.is_none() ? 1 : step_value.is_integer() ? step_value.integer() : 0;
  if (step == 0 || step < -(INT64_MAX >> 1) || step > (INT64_MAX >> 1))
    refuse("the step of a slice is an int other than 0");
  return {clamped(begin, step > 0 ? 0 : length - 1, length, step),
          clamped(end, step > 0 ? length : -1, length, step), step};
}

template <class T>
std::vector<T> picked(const std::vector<T>& items, const Range& range) {
  std::vector<T> picked;
  for (std::int64_t i = range.begin; range.step > 0 ? i < range.end : i > range.end; i += range.step)
    picked.push_back(items[static_cast<std::size_t>(i)]);
  return picked;
}

/// The usual slice of a text, without a list of its characters.
std::string sliced(const std::string& text, const Range& range) {
  std::size_t at = 0;
  std::int64_t count = 0;
  const auto forward = [&](std::int64_t to) {
    for (; count < to; ++count) next_code_point(text, at);
    return at;
  };
  const std::size_t begin = forward(range.begin), end = forward(range.end);
  return text.substr(begin, end > begin ? end - begin : 0);
}

Value item_at(const Value& value, std::int64_t index) {
  const std::int64_t length = length_of(value), at = index < 0 ? index + length : index;
  if (at < 0 || at >= length)
    return Value::undefined(fmt::format("'{} object' has no item {}", value.type(), index));
  if (value.is_text()) return sliced(value.text(), {at, at + 1, 1});
  return value.sequence()->items[static_cast<std::size_t>(at)];
}

Value missing(const Value& value, std::string_view name) {
  return Value::undefined(fmt::format("'{} object' has no attribute '{}'", value.type(), name));
}

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    static constexpr std::string_view kSpecial = "&<>'\"";
    static constexpr std::array<std::string_view, 5> kReferences = {"&amp;", "&lt;", "&gt;", "&#39;",
                                                                    "&#34;"};
    const std::size_t i = kSpecial.find(c);
    if (i == std::string_view::npos)
      escaped += c;
    else
      escaped += kReferences[i];
  }
  return escaped;
}

Value joined(const Value& a, const Value& b, Machine& machine) {
  const std::string first = printed(a, machine.budget());
  return machine.made(first + printed(b, machine.budget()));
}

Value calculated(std::string_view sign, const Value& a, const Value& b, Machine& machine) {
  if (a.is_integer() && b.is_integer()) return of_integers(sign, a.integer(), b.integer());
  if (a.is_number() && b.is_number()) return of_floats(sign, a.number(), b.number());
  if (sign == "+" && a.is_text() && b.is_text()) return added(a, b, machine);
  const Sequence *left = a.sequence(), *right = b.sequence();
  if (sign == "+" && left && right && left->shape == right->shape && can_be_repeated(a))
    return chained(*left, *right, machine);
  if (sign == "*" && can_be_repeated(a) && b.is_integer()) return repeated(a, b.integer(), machine);
  if (sign == "*" && can_be_repeated(b) && a.is_integer()) return repeated(b, a.integer(), machine);
  if (sign == "%" && a.is_text())
    return machine.made(percent_formatted(
        a.text(), b.sequence() && b.sequence()->shape == Shape::tuple ? b.sequence()->items : std::vector{b},
        machine.budget()));
  refuse_operands(sign, a, b);
}

Value negated(const Value& value) {
  if (value.is_float()) return -value.number();
  if (!value.is_integer()) refuse_operands("-", value, value);
  if (value.integer() == INT64_MIN) refuse_overflow();
  return -value.integer();
}

Value with_plus(const Value& value) {
  if (!value.is_number()) refuse_operands("+", value, value);
  return value.is_float() ? value : Value(value.integer());
}

bool contains(const Value& container, const Value& item, Budget& budget) {
  if (container.is_text()) {
    if (item.is_undefined()) refuse("{}", item.message());
    if (!item.is_text()) refuse("'in' a str: expected a str, got a '{}'", item.type());
    return found_in(container.text(), item.text()) != std::string::npos;
  }
  if (const Dict* dict = container.dict()) return dict->find(item) != nullptr;
  if (!container.is_undefined() && !container.sequence() && !container.iterator())
    refuse("'in' takes no '{}'", container.type());
  return std::ranges::any_of(items_of(container, budget),
                             [&](const Value& other) { return equal(other, item); });
}

Value member(const Value& value, std::string_view name) {
  if (value.is_undefined()) refuse("{}", value.message());
  if (const Namespace* space = value.space()) {
    const Value* found = space->find(name);
    return found ? *found : missing(value, name);
  }
  if (auto found = method(value, name)) return *found;
  const Value* found = value.dict() ? value.dict()->find(name) : nullptr;
  return found ? *found : missing(value, name);
}

Value subscript(Machine& machine, const Value& value, const Value& key) {
  if (value.is_undefined()) refuse("{}", value.message());
  if (key.is_integer() && (value.is_text() || (value.sequence() && value.sequence()->shape != Shape::view)))
    return item_at(value, key.integer());
  if (const Value* found = value.dict() ? value.dict()->find(key) : nullptr) return *found;
  if (key.is_text()) return member(value, key.text());
  return missing(value, printed(key, machine.budget()));
}

Value slice(Machine& machine, const Value& value, const Value& begin, const Value& end, const Value& step) {
  if (value.is_undefined()) refuse("{}", value.message());
  if (!value.is_text() && (!value.sequence() || value.sequence()->shape == Shape::view))
    return missing(value, "slice");
  const Range range = range_of(length_of(value), begin, end, step);
  if (!value.is_text())
    return machine.made_list(picked(value.sequence()->items, range), value.sequence()->shape);
  if (range.step == 1) return machine.made(sliced(value.text(), range));
  std::string text;
  for (const Value& character : picked(items_of(value, machine.budget()), range)) text += character.text();
  return machine.made(std::move(text));
}

}  // namespace rocket::jinja
