#include "text/jinja/filters.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "text/jinja/arguments.h"
#include "text/jinja/operators.h"
#include "text/jinja/printed.h"
#include "text/jinja/tests.h"
#include "text/jinja/text_functions.h"
#include "text/unicode.h"

namespace rocket::jinja {
namespace {

using Apply = Value (*)(Machine& machine, const Value& input, Arguments arguments);

/// Jinja's soft_str(): texts as they are, others printed.
std::string text_of(Machine& machine, const Value& value) {
  return printed(value, machine.budget());
}

void no_arguments(std::string_view filter, Arguments arguments) {
  const Bound bound(filter, std::move(arguments), {});
}

// Texts.

Value trim(Machine& machine, const Value& input, Arguments arguments) {
  const Bound bound("trim", std::move(arguments), {"chars"});
  const std::string* characters = bound.has(0) && !bound[0].is_none() ? &bound.text(0) : nullptr;
  if (characters) machine.budget().spend_work(input.weight() * characters->size());
  return machine.made(std::string(stripped(text_of(machine, input), Side::both, characters)),
                      input.is_safe());
}

template <std::string (*change)(std::string_view)>
Value changed_text(Machine& machine, const Value& input, Arguments arguments) {
  no_arguments("the filter", std::move(arguments));
  return machine.made(change(text_of(machine, input)));
}

Value replace_in(Machine& machine, const Value& input, Arguments arguments) {
  const Bound bound("replace", std::move(arguments), {"old", "new", "count"});
  const std::int64_t count = bound.has(2) && !bound[2].is_none() ? bound.integer(2) : -1;
  return replaced(text_of(machine, input), text_of(machine, bound[0]), text_of(machine, bound[1]), count,
                  machine.budget());
}

Value indent(Machine& machine, const Value& input, Arguments arguments) {
  const Bound bound("indent", std::move(arguments), {"width", "first", "blank"});
  if (!input.is_text()) refuse("indent: expected a str, got a '{}'", input.type());
  const Value width = bound.value_or(0, std::int64_t{4});
  if (!width.is_text() && (!width.is_integer() || width.integer() > 1000))
    refuse("indent: a width up to 1000, or a text");
  const std::string before =
      width.is_text()
          ? width.text()
          : std::string(static_cast<std::size_t>(std::max<std::int64_t>(0, width.integer())), ' ');
  const bool blank = bound.flag(2, false);
  std::string text;
  bool first = true;
  for (const Value& line : split_lines(input.text() + "\n", false, machine.budget())) {
    const bool indented = first ? bound.flag(1, false) : blank || !line.text().empty();
    machine.budget().spend_bytes(before.size() + line.text().size() + 1);
    text += (first ? "" : "\n") + (indented ? before : "") + line.text();
    first = false;
  }
  return Value(std::move(text), input.is_safe());
}

Value to_json(Machine& machine, const Value& input, Arguments arguments) {
  const Bound bound("tojson", std::move(arguments), {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonForm form;
  form.ascii = bound.flag(0, false);
  form.sorted = bound.flag(3, false);
  if (bound.has(1) && !bound[1].is_none()) {
    if (bound[1].is_integer() && bound[1].integer() > 1000) refuse("tojson: an indent above 1000");
    form.indent =
        bound[1].is_text()
            ? bound[1].text()
            : std::string(static_cast<std::size_t>(std::max<std::int64_t>(0, bound.integer(1))), ' ');
    form.between_items = ",";
  }
  if (bound.has(2) && !bound[2].is_none()) {
    const std::vector<Value> both = items_of(bound[2], machine.budget());
    if (both.size() != 2 || !both[0].is_text() || !both[1].is_text())
      refuse("tojson: separators are a pair of texts");
    form.between_items = both[0].text();
    form.behind_key = both[1].text();
  }
  return as_json(input, form, machine.budget());
}

Value as_text(Machine& machine, const Value& input, Arguments arguments) {
  no_arguments("string", std::move(arguments));
  return input.is_text() ? input : machine.made(text_of(machine, input));
}

Value mark_safe(Machine& machine, const Value& input, Arguments arguments) {
  no_arguments("safe", std::move(arguments));
  return machine.made(text_of(machine, input), true);
}

Value escape(Machine& machine, const Value& input, Arguments arguments) {
  no_arguments("escape", std::move(arguments));
  return input.is_safe() ? input : machine.made(html_escaped(text_of(machine, input)), true);
}

Value format_text(Machine& machine, const Value& input, Arguments arguments) {
  if (!arguments.named.empty()) refuse("format: arguments by name are not known here");
  return machine.made(percent_formatted(text_of(machine, input), arguments.positional, machine.budget()));
}

// Numbers.

/// The number that a text is, with white space around it; nullopt: it is none.
template <class Number>
std::optional<Number> number_in(const std::string& text) {
  std::string_view digits = stripped(text, Side::both, nullptr);
  if (digits.starts_with('+')) digits.remove_prefix(1);
  Number value{};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc::result_out_of_range) refuse("the number {} is beyond 64 bits", digits);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> whole(double value) {
  if (!std::isfinite(value)) return std::nullopt;
  if (std::abs(value) >= 9e18) refuse("the number {} is beyond 64 bits", number_text(value));
  return static_cast<std::int64_t>(value);
}

Value as_integer(Machine&, const Value& input, Arguments arguments) {
  const Bound bound("int", std::move(arguments), {"default"});
  std::optional<std::int64_t> found;
  if (input.is_integer()) found = input.integer();
  if (input.is_float()) found = whole(input.number());
  if (input.is_text()) {
    found = number_in<std::int64_t>(input.text());
    const auto as_float = found ? std::nullopt : number_in<double>(input.text());
    if (as_float) found = whole(*as_float);
  }
  return found ? Value(*found) : bound.value_or(0, std::int64_t{0});
}

Value as_float(Machine&, const Value& input, Arguments arguments) {
  const Bound bound("float", std::move(arguments), {"default"});
  if (input.is_number()) return input.number();
  const auto found = input.is_text() ? number_in<double>(input.text()) : std::nullopt;
  return found ? Value(*found) : bound.value_or(0, 0.0);
}

Value absolute(Machine&, const Value& input, Arguments arguments) {
  no_arguments("abs", std::move(arguments));
  if (!input.is_number()) refuse("abs: expected a number, got a '{}'", input.type());
  return input.number() < 0 ? negated(input) : with_plus(input);
}

Value rounded(Machine&, const Value& input, Arguments arguments) {
  const Bound bound("round", std::move(arguments), {"precision", "method"});
  const std::string method = bound.text_or(1, "common");
  if (!input.is_number()) refuse("round: expected a number, got a '{}'", input.type());
  if (bound.integer_or(0, 0) != 0) refuse("round: digits behind the point are not known here");
  if (method == "common" && input.is_integer()) return with_plus(input);
  if (method == "common") return std::nearbyint(input.number());
  if (method != "ceil" && method != "floor") refuse("round: the method is common, ceil or floor");
  return method == "ceil" ? std::ceil(input.number()) : std::floor(input.number());
}

// Lists.

Value length(Machine&, const Value& input, Arguments arguments) {
  no_arguments("length", std::move(arguments));
  return length_of(input);
}

Value as_list(Machine& machine, const Value& input, Arguments arguments) {
  no_arguments("list", std::move(arguments));
  return machine.made_list(items_of(input, machine.budget()));
}

Value join_items(Machine& machine, const Value& input, Arguments arguments) {
  const Bound bound("join", std::move(arguments), {"d", "attribute"});
  const Value separator = bound.value_or(0, "");
  bool first = true;
  std::string all;
  for (const Value& item : items_of(input, machine.budget())) {
    const Value part = bound.has(1) ? subscript(machine, item, bound[1]) : item;
    if (part.is_safe() || separator.is_safe())
      refuse("join of texts that the filter 'safe' has marked is not known here");
    const std::string between = first ? "" : text_of(machine, separator), own = text_of(machine, part);
    machine.budget().spend_bytes(between.size() + own.size());
    all += between + own;
    first = false;
  }
  return all;
}

Value first_item(Machine& machine, const Value& input, Arguments arguments) {
  no_arguments("first", std::move(arguments));
  if (Iterator* iterator = input.iterator())
    return iterator->next < iterator->items.size() ? iterator->items[iterator->next++]
                                                   : Value::undefined("no first item: the list is empty");
  const std::vector<Value> items = items_of(input, machine.budget());
  return items.empty() ? Value::undefined("no first item: the list is empty") : items.front();
}

Value last_item(Machine& machine, const Value& input, Arguments arguments) {
  no_arguments("last", std::move(arguments));
  if (input.iterator()) refuse("last: a 'generator' has no end to begin from");
  const std::vector<Value> items = items_of(input, machine.budget());
  return items.empty() ? Value::undefined("no last item: the list is empty") : items.back();
}

Value reversed(Machine& machine, const Value& input, Arguments arguments) {
  no_arguments("reverse", std::move(arguments));
  std::vector<Value> items = items_of(input, machine.budget());
  std::ranges::reverse(items);
  if (!input.is_text()) return Value::iterator(std::move(items));
  std::string text;
  for (const Value& character : items) text += character.text();
  return machine.made(std::move(text));
}

/// What an item is compared by: a member ("a.b", "0"), small letters for capital ones.
class Key {
 public:
  Key(Machine& machine, Value attribute, bool case_sensitive)
      : machine_(machine), attribute_(std::move(attribute)), case_sensitive_(case_sensitive) {}

  Value operator()(const Value& item) const {
    const Value value = member_of(item);
    return case_sensitive_ || !value.is_text() ? value : machine_.made(lower(value.text()));
  }

  /// item.a.b for the attribute "a.b".
  Value member_of(const Value& item) const {
    if (attribute_.is_none()) return item;
    if (!attribute_.is_text()) return subscript(machine_, item, attribute_);
    Value value = item;
    const std::string dot = ".";
    for (const Value& part : split(attribute_.text(), &dot, -1, false, machine_.budget())) {
      const auto number = part.text().starts_with('-') ? std::nullopt : number_in<std::int64_t>(part.text());
      value = subscript(machine_, value, number ? Value(*number) : part);
    }
    return value;
  }

 private:
  Machine& machine_;
  Value attribute_;
  bool case_sensitive_;
};

/// Stable; the keys are made once.
std::vector<Value> sorted_by(const Key& key, const std::vector<Value>& items, bool reverse, Budget& budget) {
  std::vector<std::pair<Value, const Value*>> keyed;
  for (const Value& item : items) {
    keyed.emplace_back(key(item), &item);
    budget.spend_work(64 * keyed.back().first.weight());  // 2 log2(n) comparisons
  }
  std::ranges::stable_sort(keyed, [&](const auto& a, const auto& b) {
    return reverse ? order(b.first, a.first) < 0 : order(a.first, b.first) < 0;
  });
  std::vector<Value> sorted;
  for (const auto& [ignored, item] : keyed) sorted.push_back(*item);
  return sorted;
}

Value sort(Machine& machine, const Value& input, Arguments arguments) {
  const Bound bound("sort", std::move(arguments), {"reverse", "case_sensitive", "attribute"});
  const Value attribute = bound.value_or(2, nullptr);
  if (attribute.is_text() && attribute.text().find(',') != std::string::npos)
    refuse("sort: several attributes are not known here");
  const Key key(machine, attribute, bound.flag(1, false));
  return machine.made_list(
      sorted_by(key, items_of(input, machine.budget()), bound.flag(0, false), machine.budget()));
}

Value sort_dict(Machine& machine, const Value& input, Arguments arguments) {
  const Bound bound("dictsort", std::move(arguments), {"case_sensitive", "by", "reverse"});
  const std::string by = bound.text_or(1, "key");
  if (by != "key" && by != "value") refuse("dictsort: by is key or value");
  if (!input.dict()) refuse("dictsort: expected a dict, got a '{}'", input.type());
  std::vector<Value> pairs;
  for (const auto& [key, value] : input.dict()->members)
    pairs.push_back(machine.made_list({key, value}, Shape::tuple));
  const Key key(machine, std::int64_t{by == "value"}, bound.flag(0, false));
  return machine.made_list(sorted_by(key, pairs, bound.flag(2, false), machine.budget()));
}

Value unique(Machine& machine, const Value& input, Arguments arguments) {
  const Bound bound("unique", std::move(arguments), {"case_sensitive", "attribute"});
  const Key key(machine, bound.value_or(1, nullptr), bound.flag(0, false));
  std::vector<Value> kept, keys;
  for (const Value& item : items_of(input, machine.budget())) {
    Value own = key(item);
    machine.budget().spend_work(64 * keys.size() * own.weight());  // it is compared with each
    if (std::ranges::any_of(keys, [&](const Value& other) { return equal(other, own); })) continue;
    keys.push_back(std::move(own));
    kept.push_back(item);
  }
  return Value::iterator(std::move(kept));
}

template <bool largest>
Value extreme(Machine& machine, const Value& input, Arguments arguments) {
  const Bound bound(largest ? "max" : "min", std::move(arguments), {"case_sensitive", "attribute"});
  const Key key(machine, bound.value_or(1, nullptr), bound.flag(0, false));
  std::optional<Value> best;
  for (const Value& item : items_of(input, machine.budget())) {
    machine.budget().spend_work(item.weight());
    const int found = best ? order(key(item), key(*best)) : 0;
    if (!best || (largest ? found > 0 : found < 0)) best = item;
  }
  return best ? *best : Value::undefined("the list is empty");
}

Value sum(Machine& machine, const Value& input, Arguments arguments) {
  const Bound bound("sum", std::move(arguments), {"attribute", "start"});
  const Key key(machine, bound.value_or(0, nullptr), true);
  Value total = bound.value_or(1, std::int64_t{0});
  for (const Value& item : items_of(input, machine.budget()))
    total = calculated("+", total, key.member_of(item), machine);
  return total;
}

Value items(Machine& machine, const Value& input, Arguments arguments) {
  no_arguments("items", std::move(arguments));
  if (input.is_undefined()) return Value::iterator({});
  if (!input.dict()) refuse("items: expected a dict, got a '{}'", input.type());
  std::vector<Value> pairs;
  for (const auto& [key, value] : input.dict()->members)
    pairs.push_back(machine.made_list({key, value}, Shape::tuple));
  return Value::iterator(std::move(pairs));
}

Arguments without_first(Arguments arguments) {
  arguments.positional.erase(arguments.positional.begin());
  return arguments;
}

const std::string& first_name(std::string_view filter, const Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.positional.front().is_text())
    refuse("{}: expected a name as its first argument", filter);
  return arguments.positional.front().text();
}

Value map(Machine& machine, const Value& input, Arguments arguments) {
  std::vector<Value> mapped;
  const std::vector<Value> all = input.is_true() ? items_of(input, machine.budget()) : std::vector<Value>();
  if (arguments.positional.empty()) {
    const Bound bound("map", std::move(arguments), {"attribute", "default"});
    const Key key(machine, bound[0], true);
    for (const Value& item : all) {
      const Value value = key.member_of(item);
      mapped.push_back(value.is_undefined() && bound.has(1) ? bound[1] : value);
    }
    return Value::iterator(std::move(mapped));
  }
  const std::string name = first_name("map", arguments);
  const Arguments rest = without_first(std::move(arguments));
  for (const Value& item : all) mapped.push_back(filtered(machine, name, item, rest));
  return Value::iterator(std::move(mapped));
}

/// select, reject, selectattr and rejectattr: the items that pass a test, or that do not.
template <bool wanted, bool of_member>
Value select(Machine& machine, const Value& input, Arguments arguments) {
  Value attribute = nullptr;
  if (of_member) {
    if (arguments.positional.empty())
      refuse("selectattr and rejectattr: the name of the attribute is missing");
    attribute = arguments.positional.front();
    arguments = without_first(std::move(arguments));
  }
  const Key key(machine, attribute, true);
  const std::string test = arguments.positional.empty() ? "" : first_name("select", arguments);
  const Arguments rest = test.empty() ? Arguments() : without_first(std::move(arguments));
  std::vector<Value> chosen;
  if (!input.is_true()) return Value::iterator({});
  for (const Value& item : items_of(input, machine.budget())) {
    const Value value = key.member_of(item);
    machine.budget().spend_work(value.weight());
    if ((test.empty() ? value.is_true() : passes(machine, test, value, rest)) == wanted)
      chosen.push_back(item);
  }
  return Value::iterator(std::move(chosen));
}

// Others.

Value or_default(Machine&, const Value& input, Arguments arguments) {
  const Bound bound("default", std::move(arguments), {"default_value", "boolean"});
  const bool missing = input.is_undefined() || (bound.flag(1, false) && !input.is_true());
  return missing ? bound.value_or(0, "") : input;
}

Value attribute(Machine&, const Value& input, Arguments arguments) {
  const Bound bound("attr", std::move(arguments), {"name"});
  if (input.dict())
    return Value::undefined(fmt::format("'dict object' has no attribute '{}'", bound.text(0)));
  return member(input, bound.text(0));
}

struct Entry {
  std::string_view name;
  Apply apply;
};

constexpr auto kFilters = std::to_array<Entry>({{"abs", absolute},
                                                {"attr", attribute},
                                                {"capitalize", changed_text<capitalized>},
                                                {"count", length},
                                                {"d", or_default},
                                                {"default", or_default},
                                                {"dictsort", sort_dict},
                                                {"e", escape},
                                                {"escape", escape},
                                                {"first", first_item},
                                                {"float", as_float},
                                                {"format", format_text},
                                                {"indent", indent},
                                                {"int", as_integer},
                                                {"items", items},
                                                {"join", join_items},
                                                {"last", last_item},
                                                {"length", length},
                                                {"list", as_list},
                                                {"lower", changed_text<lower>},
                                                {"map", map},
                                                {"max", extreme<true>},
                                                {"min", extreme<false>},
                                                {"reject", select<false, false>},
                                                {"rejectattr", select<false, true>},
                                                {"replace", replace_in},
                                                {"reverse", reversed},
                                                {"round", rounded},
                                                {"safe", mark_safe},
                                                {"select", select<true, false>},
                                                {"selectattr", select<true, true>},
                                                {"sort", sort},
                                                {"string", as_text},
                                                {"sum", sum},
                                                {"title", changed_text<titled_words>},
                                                {"tojson", to_json},
                                                {"trim", trim},
                                                {"unique", unique},
                                                {"upper", changed_text<upper>}});

}  // namespace

bool is_filter(std::string_view name) {
  return std::ranges::find(kFilters, name, &Entry::name) != kFilters.end();
}

Value filtered(Machine& machine, std::string_view name, Value input, Arguments arguments) {
  const auto found = std::ranges::find(kFilters, name, &Entry::name);
  if (found == kFilters.end()) refuse("the filter '{}' is not known here", name);
  machine.budget().spend_work(input.weight());
  const Budget::Level level(machine.budget());
  return found->apply(machine, input, std::move(arguments));
}

}  // namespace rocket::jinja
