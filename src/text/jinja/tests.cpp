#include "text/jinja/tests.h"

#include <algorithm>
#include <array>

#include "text/jinja/arguments.h"
#include "text/jinja/filters.h"
#include "text/jinja/operators.h"
#include "text/jinja/printed.h"
#include "text/jinja/text_functions.h"

namespace rocket::jinja {
namespace {

struct Simple {
  std::string_view name;
  bool (*holds)(const Value&);
};

bool is_sequence(const Value& value) {
  return value.is_text() || value.dict() || value.is_undefined() ||
         (value.sequence() && value.sequence()->shape != Shape::view);
}

bool is_iterable(const Value& value) {
  return value.is_text() || value.dict() || value.sequence() || value.iterator() || value.is_undefined();
}

constexpr auto kSimple = std::to_array<Simple>({
    {"defined", [](const Value& v) { return !v.is_undefined(); }},
    {"undefined", [](const Value& v) { return v.is_undefined(); }},
    {"none", [](const Value& v) { return v.is_none(); }},
    {"boolean", [](const Value& v) { return v.is_bool(); }},
    {"true", [](const Value& v) { return v.is_bool() && v.is_true(); }},
    {"false", [](const Value& v) { return v.is_bool() && !v.is_true(); }},
    {"integer", [](const Value& v) { return v.is_integer() && !v.is_bool(); }},
    {"float", [](const Value& v) { return v.is_float(); }},
    {"number", [](const Value& v) { return v.is_number(); }},
    {"string", [](const Value& v) { return v.is_text(); }},
    {"mapping", [](const Value& v) { return v.dict() != nullptr; }},
    {"sequence", is_sequence},
    {"iterable", is_iterable},
    {"callable", [](const Value& v) { return v.function() != nullptr; }},
    {"escaped", [](const Value& v) { return v.is_safe(); }},
    {"filter", [](const Value& v) { return v.is_text() && is_filter(v.text()); }},
});

std::int64_t remainder(std::string_view name, const Value& value, const Value& divisor) {
  if (!value.is_integer() || !divisor.is_integer())
    refuse("the test '{}' takes ints, got a '{}'", name, value.type());
  if (divisor.integer() == 0) refuse("division by zero");
  return divisor.integer() == -1 ? 0 : value.integer() % divisor.integer();
}

/// str.islower() and str.isupper(): there are letters with a case, and all of them have this one.
bool has_case(const Value& value, bool is_lower, Machine& machine) {
  const std::string text = printed(value, machine.budget());
  return is_lower ? text == lower(text) && text != upper(text) : text == upper(text) && text != lower(text);
}

/// The tests that compare, by the sign that they stand for; "" for another one.
std::string_view comparison(std::string_view name) {
  struct Word {
    std::string_view name, sign;
  };
  static constexpr auto kWords = std::to_array<Word>({{"equalto", "=="},
                                                      {"eq", "=="},
                                                      {"ne", "!="},
                                                      {"gt", ">"},
                                                      {"greaterthan", ">"},
                                                      {"ge", ">="},
                                                      {"lt", "<"},
                                                      {"lessthan", "<"},
                                                      {"le", "<="}});
  static constexpr std::array<std::string_view, 6> kSigns = {"==", "!=", ">", ">=", "<", "<="};
  const auto sign = std::ranges::find(kSigns, name);
  if (sign != kSigns.end()) return *sign;
  const auto word = std::ranges::find(kWords, name, &Word::name);
  return word == kWords.end() ? "" : word->sign;
}

bool compares(std::string_view sign, const Value& a, const Value& b) {
  if (sign == "==" || sign == "!=") return equal(a, b) == (sign == "==");
  const int found = order(a, b);
  return sign == "<" ? found < 0 : sign == "<=" ? found <= 0 : sign == ">" ? found > 0 : found >= 0;
}

}  // namespace

bool passes(Machine& machine, std::string_view name, const Value& value, Arguments arguments) {
  const auto simple = std::ranges::find(kSimple, name, &Simple::name);
  const bool takes_none =
      simple != kSimple.end() || name == "odd" || name == "even" || name == "lower" || name == "upper";
  if (takes_none && !(arguments.positional.empty() && arguments.named.empty()))
    refuse("the test '{}' takes no argument", name);
  if (simple != kSimple.end()) return simple->holds(value);
  if (name == "odd") return remainder(name, value, std::int64_t{2}) != 0;
  if (name == "even") return remainder(name, value, std::int64_t{2}) == 0;
  if (name == "lower" || name == "upper") return has_case(value, name == "lower", machine);
  const std::string_view sign = comparison(name);
  if (sign.empty() && name != "in" && name != "sameas" && name != "divisibleby")
    refuse("the test '{}' is not known here", name);
  const Bound bound(name, std::move(arguments), {"other"});
  if (!sign.empty()) return compares(sign, value, bound[0]);
  if (name == "in") return contains(bound[0], value, machine.budget());
  if (name == "sameas") return value.is_same_object(bound[0]);
  return remainder(name, value, bound[0]) == 0;
}

}  // namespace rocket::jinja
