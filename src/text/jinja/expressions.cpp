#include <algorithm>

#include "text/jinja/filters.h"
#include "text/jinja/operators.h"
#include "text/jinja/syntax.h"
#include "text/jinja/tests.h"

namespace rocket::jinja {
namespace {

Value value_or_none(const ExpressionPtr& expression, Frame& frame) {
  return expression ? expression->value(frame) : Value(nullptr);
}

bool holds(const std::string& sign, const Value& a, const Value& b, Budget& budget) {
  budget.spend_work(sign.ends_with("in") ? b.weight() : std::min(a.weight(), b.weight()));
  if (sign == "==") return equal(a, b);
  if (sign == "!=") return !equal(a, b);
  if (sign == "in") return contains(b, a, budget);
  if (sign == "not in") return !contains(b, a, budget);
  const int found = order(a, b);
  if (sign == "<") return found < 0;
  if (sign == "<=") return found <= 0;
  return sign == ">" ? found > 0 : found >= 0;
}

}  // namespace

Value Expression::value(Frame& frame) const {
  try {
    frame.machine.budget().spend_step();
    const Budget::Level level(frame.machine.budget());
    return compute(frame);
  } catch (Problem& problem) {
    problem.stands_at(place);
    throw;
  }
}

Value Name::compute(Frame& frame) const {
  if (const Value* found = frame.scope->find(name)) return *found;
  return frame.machine.variable(name);
}

Value ListOf::compute(Frame& frame) const {
  std::vector<Value> values;
  for (const ExpressionPtr& item : items) values.push_back(item->value(frame));
  return frame.machine.made_list(std::move(values), shape);
}

Value DictOf::compute(Frame& frame) const {
  std::vector<std::pair<Value, Value>> values;
  for (const auto& [key, item] : members) {
    Value name = key->value(frame);
    values.emplace_back(std::move(name), item->value(frame));
  }
  frame.machine.budget().spend_product(values.size(), 2 * sizeof(Value));
  return Value::dict(std::move(values));
}

Value Signed::compute(Frame& frame) const {
  const Value value = inner->value(frame);
  return minus ? negated(value) : with_plus(value);
}

Value Logic::compute(Frame& frame) const {
  Value value = left->value(frame);
  return value.is_true() == is_and ? right->value(frame) : value;
}

Value Arithmetic::compute(Frame& frame) const {
  const Value a = left->value(frame), b = right->value(frame);
  return calculated(sign, a, b, frame.machine);
}

Value Concatenation::compute(Frame& frame) const {
  Value all = parts.front()->value(frame);
  for (std::size_t i = 1; i < parts.size(); ++i) all = joined(all, parts[i]->value(frame), frame.machine);
  return all;
}

Value Comparison::compute(Frame& frame) const {
  Value left = first->value(frame);
  for (const auto& [sign, expression] : rest) {
    Value right = expression->value(frame);
    if (!holds(sign, left, right, frame.machine.budget())) return false;
    left = std::move(right);
  }
  return true;
}

Value Conditional::compute(Frame& frame) const {
  if (test->value(frame).is_true()) return then->value(frame);
  if (otherwise) return otherwise->value(frame);
  return Value::undefined("the condition of an inline if without else does not hold");
}

Value Member::compute(Frame& frame) const {
  return member(object->value(frame), name);
}

Value Subscript::compute(Frame& frame) const {
  const Value value = object->value(frame);
  if (value.is_text() || value.dict()) frame.machine.budget().spend_work(value.weight());
  return subscript(frame.machine, value, key->value(frame));
}

Value Slice::compute(Frame& frame) const {
  const Value value = object->value(frame);
  frame.machine.budget().spend_work(value.weight());
  const Value from = value_or_none(begin, frame), to = value_or_none(end, frame),
              by = value_or_none(step, frame);
  return slice(frame.machine, value, from, to, by);
}

Arguments ArgumentList::values(Frame& frame) const {
  Arguments arguments;
  for (const ExpressionPtr& argument : positional) arguments.positional.push_back(argument->value(frame));
  if (more_positional)
    for (Value& value : items_of(more_positional->value(frame), frame.machine.budget()))
      arguments.positional.push_back(std::move(value));
  for (const auto& [name, argument] : named) arguments.named.emplace_back(name, argument->value(frame));
  if (!more_named) return arguments;
  const Value more = more_named->value(frame);
  if (!more.dict()) refuse("** takes a dict, got a '{}'", more.type());
  for (const auto& [key, value] : more.dict()->members) {
    if (!key.is_text()) refuse("** takes a dict with names, got a key that is a '{}'", key.type());
    arguments.named.emplace_back(key.text(), value);
  }
  return arguments;
}

Value Call::compute(Frame& frame) const {
  const Value function = callee->value(frame);
  return call(frame.machine, function, arguments.values(frame));
}

Value Filter::compute(Frame& frame) const {
  return apply(frame, input->value(frame));
}

Value Filter::apply(Frame& frame, Value to) const {
  return filtered(frame.machine, name, std::move(to), arguments.values(frame));
}

Value Test::compute(Frame& frame) const {
  const Value value = input->value(frame);
  frame.machine.budget().spend_work(value.weight());
  return passes(frame.machine, name, value, arguments.values(frame));
}

}  // namespace rocket::jinja
