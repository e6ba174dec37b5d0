#include <algorithm>

#include "text/jinja/operators.h"
#include "text/jinja/printed.h"
#include "text/jinja/syntax.h"

namespace rocket::jinja {
namespace {

void print(Frame& frame, std::string_view text) {
  frame.machine.budget().spend_bytes(text.size());
  *frame.out += text;
}

/// What a body prints, in a scope of its own.
std::string captured(const Body& body, Frame& around) {
  std::string text;
  Frame frame{around.machine, &around.machine.new_scope(around.scope), &text};
  run_body(body, frame);
  return text;
}

Value filtered_by(const std::vector<std::unique_ptr<const Filter>>& filters, Frame& frame, std::string text) {
  Value value = frame.machine.made(std::move(text));
  for (const auto& filter : filters) value = filter->apply(frame, std::move(value));
  return value;
}

Value cycle(const Namespace* loop, const Arguments& arguments) {
  if (arguments.positional.empty()) refuse("loop.cycle takes one value or more");
  const auto at = static_cast<std::size_t>(loop->find("index0")->integer());
  return arguments.positional[at % arguments.positional.size()];
}

/// What `loop` tells, in a namespace that is told of each item.
class LoopNames {
 public:
  LoopNames(Machine& machine, const std::vector<Value>& items)
      : loop_(machine.new_namespace()), items_(items) {
    loop_.set("length", length());
    loop_.set("depth0", std::int64_t{0});  // of recursive loops alone it is more
    loop_.set("depth", std::int64_t{1});
    loop_.set("cycle", Value::function("loop.cycle", [loop = &loop_](Machine&, const Arguments& arguments) {
                return cycle(loop, arguments);
              }));
    loop_.set("changed", Value::function("loop.changed", changed(machine)));
  }

  Value value() { return &loop_; }

  void tell(std::size_t i) {
    const auto at = static_cast<std::int64_t>(i);
    loop_.set("index0", at);
    loop_.set("index", at + 1);
    loop_.set("revindex0", length() - at - 1);
    loop_.set("revindex", length() - at);
    loop_.set("first", i == 0);
    loop_.set("last", i + 1 == items_.size());
    loop_.set("previtem", i > 0 ? items_[i - 1] : Value::undefined("there is no previous item"));
    loop_.set("nextitem", i + 1 < items_.size() ? items_[i + 1] : Value::undefined("there is no next item"));
  }

 private:
  std::int64_t length() const { return static_cast<std::int64_t>(items_.size()); }

  static std::function<Value(Machine&, Arguments)> changed(Machine& machine) {
    Namespace* last = &machine.new_namespace();
    return [last](Machine& running, Arguments arguments) -> Value {
      const Value values = running.made_list(std::move(arguments.positional));
      const Value* before = last->find("values");
      const bool is_new = !before || !equal(*before, values);
      last->set("values", values);
      return is_new;
    };
  }

  Namespace& loop_;
  const std::vector<Value>& items_;
};

}  // namespace

Flow Statement::run(Frame& frame) const {
  try {
    frame.machine.budget().spend_step();
    const Budget::Level level(frame.machine.budget());
    return perform(frame);
  } catch (Problem& problem) {
    problem.stands_at(place);
    throw;
  }
}

Flow run_body(const Body& body, Frame& frame) {
  for (const auto& statement : body) {
    const Flow flow = statement->run(frame);
    if (flow != Flow::next) return flow;
  }
  return Flow::next;
}

Flow PlainText::perform(Frame& frame) const {
  print(frame, text);
  return Flow::next;
}

Flow Print::perform(Frame& frame) const {
  print(frame, printed(expression->value(frame), frame.machine.budget()));
  return Flow::next;
}

void Target::assign(Frame& frame, const Value& value) const {
  if (!parts.empty()) {
    const std::vector<Value> values = items_of(value, frame.machine.budget());
    if (value.is_undefined()) refuse("{}", value.message());
    if (values.size() != parts.size()) refuse("{} names for {} values", parts.size(), values.size());
    for (std::size_t i = 0; i < parts.size(); ++i) parts[i].assign(frame, values[i]);
    return;
  }
  if (member.empty()) return frame.scope->set(name, value);
  const Value* found = frame.scope->find(name);
  const Value held = found ? *found : frame.machine.variable(name);
  if (!held.space()) refuse("'{}' is no namespace: its '{}' cannot be set", name, member);
  if (member.starts_with('_')) refuse("a name of a namespace that begins with '_': '{}'", member);
  held.space()->set(member, value);
}

Flow If::perform(Frame& frame) const {
  for (const auto& [test, body] : branches)
    if (test->value(frame).is_true()) return run_body(body, frame);
  return run_body(otherwise, frame);
}

std::vector<Value> For::chosen_items(Frame& frame) const {
  std::vector<Value> all = items_of(items->value(frame), frame.machine.budget());
  if (!filter) return all;
  std::vector<Value> chosen;
  for (Value& item : all) {
    Frame inner{frame.machine, &frame.machine.new_scope(frame.scope), frame.out};
    target.assign(inner, item);
    if (filter->value(inner).is_true()) chosen.push_back(std::move(item));
  }
  return chosen;
}

Flow For::perform(Frame& frame) const {
  const std::vector<Value> all = chosen_items(frame);
  LoopNames loop(frame.machine, all);
  for (std::size_t i = 0; i < all.size(); ++i) {
    Frame inner{frame.machine, &frame.machine.new_scope(frame.scope), frame.out};
    loop.tell(i);
    inner.scope->set("loop", loop.value());
    target.assign(inner, all[i]);
    if (run_body(body, inner) == Flow::leave_loop) return Flow::next;
  }
  if (!all.empty()) return Flow::next;
  Frame inner{frame.machine, &frame.machine.new_scope(frame.scope), frame.out};
  return run_body(otherwise, inner);
}

Flow Set::perform(Frame& frame) const {
  target.assign(frame, value->value(frame));
  return Flow::next;
}

Flow SetBlock::perform(Frame& frame) const {
  target.assign(frame, filtered_by(filters, frame, captured(body, frame)));
  return Flow::next;
}

Flow FilterBlock::perform(Frame& frame) const {
  print(frame, printed(filtered_by(filters, frame, captured(body, frame)), frame.machine.budget()));
  return Flow::next;
}

Flow Block::perform(Frame& frame) const {
  Frame inner{frame.machine, &frame.machine.new_scope(frame.scope), frame.out};
  for (const auto& [target, value] : names) target.assign(inner, value->value(frame));
  return run_body(body, inner);
}

Value Routine::as_function(Frame& frame) const {
  return Value::function(name, [this, around = frame.scope](Machine& machine, Arguments arguments) {
    return run(machine, around, std::move(arguments));
  });
}

Value Routine::run(Machine& machine, const Scope* around, Arguments arguments) const {
  std::string text;
  Frame frame{machine, &machine.new_scope(around), &text};
  bind(frame, std::move(arguments));
  run_body(body, frame);
  return machine.made(std::move(text));
}

void Routine::bind(Frame& frame, Arguments arguments) const {
  const auto take_named = [&](std::string_view wanted) -> std::optional<Value> {
    const auto found =
        std::ranges::find_if(arguments.named, [&](const auto& given) { return given.first == wanted; });
    if (found == arguments.named.end()) return std::nullopt;
    Value value = std::move(found->second);
    arguments.named.erase(found);
    return value;
  };
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto& [parameter, otherwise] = parameters[i];
    if (i < arguments.positional.size()) {
      frame.scope->set(parameter, arguments.positional[i]);
    } else if (auto value = take_named(parameter)) {
      frame.scope->set(parameter, *std::move(value));
    } else {
      frame.scope->set(
          parameter, otherwise ? otherwise->value(frame)
                               : Value::undefined(fmt::format("parameter '{}' was not provided", parameter)));
    }
  }
  if (takes_caller)
    frame.scope->set("caller", take_named("caller").value_or(Value::undefined("no caller is defined")));
  const std::size_t taken = std::min(parameters.size(), arguments.positional.size());
  const auto rest = arguments.positional.begin() + static_cast<std::ptrdiff_t>(taken);
  if (takes_more)
    frame.scope->set("varargs", frame.machine.made_list({rest, arguments.positional.end()}, Shape::tuple));
  else if (rest != arguments.positional.end())
    refuse("macro '{}' takes not more than {} arguments", name, parameters.size());
  if (!takes_more_named && !arguments.named.empty())
    refuse("macro '{}' takes no argument '{}'", name, arguments.named.front().first);
  if (!takes_more_named) return;
  std::vector<std::pair<Value, Value>> named;
  for (auto& [key, value] : arguments.named) named.emplace_back(key, std::move(value));
  frame.scope->set("kwargs", Value::dict(std::move(named)));
}

Flow Macro::perform(Frame& frame) const {
  frame.scope->set(routine.name, routine.as_function(frame));
  return Flow::next;
}

Flow CallBlock::perform(Frame& frame) const {
  const Value function = call->callee->value(frame);
  Arguments arguments = call->arguments.values(frame);
  arguments.named.emplace_back("caller", caller.as_function(frame));
  print(frame, printed(jinja::call(frame.machine, function, std::move(arguments)), frame.machine.budget()));
  return Flow::next;
}

}  // namespace rocket::jinja
