// The parts of a parsed template. Each computes itself; parser.h makes them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/machine.h"

namespace rocket::jinja {

/// Where a part is computed.
struct Frame {
  Machine& machine;
  Scope* scope;
  std::string* out;  // what is printed goes here
};

class Expression {
 public:
  virtual ~Expression() = default;
  /// Throws a Problem with the place of the innermost expression.
  Value value(Frame& frame) const;

  Place place;
  int height = 1;  // levels of expressions in it, itself included

 protected:
  virtual Value compute(Frame& frame) const = 0;
};

using ExpressionPtr = std::unique_ptr<const Expression>;
using Expressions = std::vector<ExpressionPtr>;

struct Constant : Expression {
  Value constant;
  Value compute(Frame&) const override { return constant; }
};

struct Name : Expression {
  std::string name;
  Value compute(Frame& frame) const override;
};

/// [a, b] or (a, b).
struct ListOf : Expression {
  Expressions items;
  Shape shape = Shape::list;
  Value compute(Frame& frame) const override;
};

struct DictOf : Expression {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> members;
  Value compute(Frame& frame) const override;
};

struct Not : Expression {
  ExpressionPtr inner;
  Value compute(Frame& frame) const override { return !inner->value(frame).is_true(); }
};

/// -a or +a.
struct Signed : Expression {
  bool minus = true;
  ExpressionPtr inner;
  Value compute(Frame& frame) const override;
};

/// a and b, a or b: one of the two values.
struct Logic : Expression {
  bool is_and = true;
  ExpressionPtr left, right;
  Value compute(Frame& frame) const override;
};

struct Arithmetic : Expression {
  std::string sign;
  ExpressionPtr left, right;
  Value compute(Frame& frame) const override;
};

/// a ~ b ~ c.
struct Concatenation : Expression {
  Expressions parts;
  Value compute(Frame& frame) const override;
};

/// a < b <= c: all of them hold.
struct Comparison : Expression {
  ExpressionPtr first;
  std::vector<std::pair<std::string, ExpressionPtr>> rest;
  Value compute(Frame& frame) const override;
};

struct Conditional : Expression {
  ExpressionPtr test, then, otherwise;  // otherwise may be nullptr
  Value compute(Frame& frame) const override;
};

struct Member : Expression {
  ExpressionPtr object;
  std::string name;
  Value compute(Frame& frame) const override;
};

struct Subscript : Expression {
  ExpressionPtr object, key;
  Value compute(Frame& frame) const override;
};

/// object[begin:end:step]; each may be nullptr.
struct Slice : Expression {
  ExpressionPtr object, begin, end, step;
  Value compute(Frame& frame) const override;
};

struct ArgumentList {
  Expressions positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr more_positional, more_named;  // *a and **a; may be nullptr

  Arguments values(Frame& frame) const;
};

struct Call : Expression {
  ExpressionPtr callee;
  ArgumentList arguments;
  Value compute(Frame& frame) const override;
};

/// input | name(arguments). `input` is nullptr in {% filter %} and {% set %}, which give theirs.
struct Filter : Expression {
  ExpressionPtr input;
  std::string name;
  ArgumentList arguments;
  Value compute(Frame& frame) const override;
  Value apply(Frame& frame, Value to) const;
};

/// input is name(arguments).
struct Test : Expression {
  ExpressionPtr input;
  std::string name;
  ArgumentList arguments;
  Value compute(Frame& frame) const override;
};

/// What follows a statement: the next one, or the loop's end.
enum class Flow { next, leave_loop, next_item };

class Statement {
 public:
  virtual ~Statement() = default;
  Flow run(Frame& frame) const;

  Place place;

 protected:
  virtual Flow perform(Frame& frame) const = 0;
};

using Body = std::vector<std::unique_ptr<const Statement>>;

Flow run_body(const Body& body, Frame& frame);

struct PlainText : Statement {
  std::string text;
  Flow perform(Frame& frame) const override;
};

struct Print : Statement {
  ExpressionPtr expression;
  Flow perform(Frame& frame) const override;
};

/// What {% set %} and {% for %} give a value to: a name, a member of a namespace, or several of them.
struct Target {
  std::string name, member;
  std::vector<Target> parts;  // where not empty, the others are

  void assign(Frame& frame, const Value& value) const;
};

struct If : Statement {
  std::vector<std::pair<ExpressionPtr, Body>> branches;
  Body otherwise;
  Flow perform(Frame& frame) const override;
};

struct For : Statement {
  Target target;
  ExpressionPtr items, filter;  // filter may be nullptr
  Body body, otherwise;
  Flow perform(Frame& frame) const override;

 private:
  std::vector<Value> chosen_items(Frame& frame) const;
};

struct Set : Statement {
  Target target;
  ExpressionPtr value;
  Flow perform(Frame& frame) const override;
};

/// {% set x | filter %}...{% endset %}.
struct SetBlock : Statement {
  Target target;
  std::vector<std::unique_ptr<const Filter>> filters;
  Body body;
  Flow perform(Frame& frame) const override;
};

/// {% filter a | b %}...{% endfilter %}.
struct FilterBlock : Statement {
  std::vector<std::unique_ptr<const Filter>> filters;
  Body body;
  Flow perform(Frame& frame) const override;
};

/// A block with names of its own: {% with %} and {% generation %}.
struct Block : Statement {
  std::vector<std::pair<Target, ExpressionPtr>> names;
  Body body;
  Flow perform(Frame& frame) const override;
};

struct Jump : Statement {
  Flow flow = Flow::next;
  Flow perform(Frame&) const override { return flow; }
};

/// What a macro and the body of {% call %} are.
struct Routine {
  std::string name;
  std::vector<std::pair<std::string, ExpressionPtr>>
      parameters;  // with their defaults, nullptr where there is none
  bool takes_caller = false, takes_more = false, takes_more_named = false;
  Body body;

  Value as_function(Frame& frame) const;

 private:
  Value run(Machine& machine, const Scope* around, Arguments arguments) const;
  void bind(Frame& frame, Arguments arguments) const;
};

struct Macro : Statement {
  Routine routine;
  Flow perform(Frame& frame) const override;
};

struct CallBlock : Statement {
  std::unique_ptr<const Call> call;
  Routine caller;
  Flow perform(Frame& frame) const override;
};

}  // namespace rocket::jinja
