#include "text/jinja/machine.h"

#include "text/jinja/arguments.h"

namespace rocket::jinja {

const Value* Scope::find(std::string_view name) const {
  for (const Scope* scope = this; scope; scope = scope->parent_)
    if (const Value* found = scope->own_.find(name)) return found;
  return nullptr;
}

Scope& Machine::new_scope(const Scope* parent) {
  budget_.spend_bytes(sizeof(Scope));
  return scopes_.emplace_back(parent);
}

Namespace& Machine::new_namespace() {
  budget_.spend_bytes(sizeof(Namespace));
  return spaces_.emplace_back();
}

Value Machine::variable(std::string_view name) {
  if (const Value* found = variables_.find(name)) return *found;
  Value found = global(name);
  return found.is_undefined() ? Value::undefined(fmt::format("'{}' is undefined", name)) : found;
}

Value Machine::made(std::string text, bool safe) {
  budget_.spend_bytes(text.size() + sizeof(Value));
  return Value(std::move(text), safe);
}

Value Machine::made_list(std::vector<Value> items, Shape shape) {
  budget_.spend_product(items.size() + 1, sizeof(Value));
  return Value::list(std::move(items), shape);
}

Value call(Machine& machine, const Value& callee, Arguments arguments) {
  if (callee.is_undefined()) refuse("{}", callee.message());
  if (!callee.function()) refuse("a '{}' is called, which is no function", callee.type());
  const Budget::Level level(machine.budget());
  return callee.function()->call(machine, std::move(arguments));
}

}  // namespace rocket::jinja
