// What one rendering of a template works with: names, what it may still compute, and who owns what is made.
#pragma once

#include <ctime>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/budget.h"
#include "text/jinja/value.h"

namespace rocket::jinja {

/// Names of a block and, above it, of those around it.
class Scope {
 public:
  explicit Scope(const Scope* parent) : parent_(parent) {}

  /// nullptr: neither here nor above.
  const Value* find(std::string_view name) const;
  void set(std::string_view name, Value value) { own_.set(name, std::move(value)); }

 private:
  const Scope* parent_;
  Namespace own_;
};

class Machine {
 public:
  /// `now` is what strftime_now tells; nullopt: asking it is refused.
  Machine(const Dict& variables, std::optional<std::tm> now, const Limits& limits)
      : variables_(variables), now_(now), budget_(limits) {}

  Budget& budget() { return budget_; }
  const std::optional<std::tm>& now() const { return now_; }

  /// Scopes and namespaces live as long as the rendering: macros and loops may hold each other.
  Scope& new_scope(const Scope* parent);
  Namespace& new_namespace();

  /// A name that no block has set: of the variables, else Jinja's own. Undefined where there is none. Throws
  /// a Problem for one that Jinja has and this does not.
  Value variable(std::string_view name);

  /// A text that was made, with what it costs.
  Value made(std::string text, bool safe = false);
  Value made_list(std::vector<Value> items, Shape shape = Shape::list);

 private:
  const Dict& variables_;
  std::optional<std::tm> now_;
  Budget budget_;
  std::deque<Scope> scopes_;
  std::deque<Namespace> spaces_;
};

/// range, dict, namespace, raise_exception, strftime_now. Undefined: Jinja has no such name. Throws a Problem
/// as Machine::variable.
Value global(std::string_view name);

Value call(Machine& machine, const Value& callee, Arguments arguments);

}  // namespace rocket::jinja
