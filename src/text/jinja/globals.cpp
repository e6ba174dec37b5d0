#include <algorithm>
#include <array>

#include "text/jinja/arguments.h"
#include "text/jinja/machine.h"

namespace rocket::jinja {
namespace {

/// As Jinja's sandbox.
constexpr std::int64_t kMaxRange = 100'000;

/// The members that dict() and namespace() are given: an object, then names.
std::vector<std::pair<Value, Value>> members_of(std::string_view function, Arguments& arguments,
                                                Machine& machine) {
  std::vector<std::pair<Value, Value>> members;
  if (arguments.positional.size() > 1) refuse("{}: more than one argument by place", function);
  for (const Value& first : arguments.positional) {
    if (first.dict()) {
      members = first.dict()->members;
      continue;
    }
    for (const Value& pair : items_of(first, machine.budget())) {
      const std::vector<Value> two = items_of(pair, machine.budget());
      if (two.size() != 2) refuse("{}: expected pairs, got {} values", function, two.size());
      members.emplace_back(two[0], two[1]);
    }
  }
  for (auto& [name, value] : arguments.named) members.emplace_back(name, std::move(value));
  machine.budget().spend_product(members.size(), 2 * sizeof(Value));
  return members;
}

Value range(Machine& machine, Arguments arguments) {
  const Bound bound("range", std::move(arguments), {"start", "stop", "step"});
  const std::int64_t begin = bound.has(1) ? bound.integer(0) : 0,
                     end = bound.has(1) ? bound.integer(1) : bound.integer(0);
  const std::int64_t step = bound.integer_or(2, 1);
  if (step == 0) refuse("range: the step is 0");
  for (const std::int64_t edge : {begin, end, step})
    if (edge > INT64_MAX / 4 || edge < INT64_MIN / 4) refuse("range: {} is too far out", edge);
  const std::int64_t span = step > 0 ? end - begin : begin - end, stride = step > 0 ? step : -step;
  const std::int64_t count = span > 0 ? (span + stride - 1) / stride : 0;
  if (count > kMaxRange) refuse("range: {} numbers, more than {}", count, kMaxRange);
  std::vector<Value> items;
  for (std::int64_t i = 0; i < count; ++i) items.emplace_back(begin + i * step);
  return machine.made_list(std::move(items), Shape::range);
}

Value make_dict(Machine& machine, Arguments arguments) {
  return Value::dict(members_of("dict", arguments, machine));
}

Value make_namespace(Machine& machine, Arguments arguments) {
  Namespace& space = machine.new_namespace();
  for (auto& [name, value] : members_of("namespace", arguments, machine)) {
    if (!name.is_text() || name.text().starts_with('_'))
      refuse("namespace: a name that is no text, or begins with '_'");
    space.set(name.text(), std::move(value));
  }
  return &space;
}

Value raise_exception(Machine&, Arguments arguments) {
  const Bound bound("raise_exception", std::move(arguments), {"message"});
  refuse("the template refuses this chat: {}", bound[0].is_text() ? bound[0].text() : "without a message");
}

Value strftime_now(Machine& machine, Arguments arguments) {
  const Bound bound("strftime_now", std::move(arguments), {"format"});
  const std::string& format = bound.text(0);
  if (!machine.now())
    refuse(
        "strftime_now('{}'): the template writes the date: say which, so that a run is the same on another "
        "day",
        format);
  std::array<char, 512> buffer;
  if (format.size() > buffer.size() / 4) refuse("strftime_now: a format of {} bytes", format.size());
  const std::size_t written = std::strftime(buffer.data(), buffer.size(), format.c_str(), &*machine.now());
  if (written == 0 && !format.empty()) refuse("strftime_now('{}') gives no text, or a long one", format);
  return machine.made(std::string(buffer.data(), written));
}

}  // namespace

Value global(std::string_view name) {
  struct Entry {
    std::string_view name;
    Value (*call)(Machine&, Arguments);
  };
  static constexpr std::array<Entry, 5> kFunctions = {{{"range", range},
                                                       {"dict", make_dict},
                                                       {"namespace", make_namespace},
                                                       {"raise_exception", raise_exception},
                                                       {"strftime_now", strftime_now}}};
  const auto found = std::ranges::find(kFunctions, name, &Entry::name);
  if (found != kFunctions.end()) return Value::function(std::string(name), found->call);
  if (name == "cycler" || name == "joiner" || name == "lipsum")
    refuse("the function '{}' of Jinja is not known here", name);
  return Value();
}

}  // namespace rocket::jinja
