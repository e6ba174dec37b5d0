// The values of a template: those of JSON and what Jinja adds to them, with Python's meaning.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja/problem.h"

namespace rocket::jinja {

class Budget;
class Machine;
class Value;
struct Namespace;

/// A name or member that there is not. It prints as nothing, is false, and holds nothing; whatever else is
/// done with it is refused with its message.
struct Undefined {
  std::string message;
};

struct Text {
  std::shared_ptr<const std::string> text;
  bool safe =
      false;  // marked by the filter `safe`: what is joined to it is escaped for HTML, as Markup does it
};

/// What differs between Python's sequences where templates see it.
enum class Shape { list, tuple, view, range };

struct Sequence {
  std::vector<Value> items;
  Shape shape = Shape::list;
  int depth = 1;
  std::size_t weight = 1;
};

/// In order of insertion.
struct Dict {
  std::vector<std::pair<Value, Value>> members;
  int depth = 1;
  std::size_t weight = 1;

  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
};

/// A generator: its items come once.
struct Iterator {
  std::vector<Value> items;
  std::size_t next = 0;
};

/// What a call is given.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct Function {
  std::string name;
  std::function<Value(Machine&, Arguments)> call;
};

/// Cheap to copy; never changed, except an Iterator's place and a Namespace, which the Machine owns.
class Value {
 public:
  using Variant = std::variant<Undefined, std::nullptr_t, bool, std::int64_t, double, Text,
                               std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>,
                               std::shared_ptr<Iterator>, Namespace*, std::shared_ptr<const Function>>;

  Value() = default;
  Value(std::nullptr_t) : held_(nullptr) {}
  Value(bool value) : held_(value) {}
  Value(std::int64_t value) : held_(value) {}
  Value(double value) : held_(value) {}
  Value(std::string text, bool safe = false)
      : held_(Text{std::make_shared<const std::string>(std::move(text)), safe}) {}
  Value(std::string_view text) : Value(std::string(text)) {}
  Value(const char* text) : Value(std::string(text)) {}
  Value(Namespace* space) : held_(space) {}

  static Value undefined(std::string message);
  /// Throw a Problem: more levels, or members, than a value may have.
  static Value list(std::vector<Value> items, Shape shape = Shape::list);
  static Value dict(std::vector<std::pair<Value, Value>> members);
  static Value iterator(std::vector<Value> items);
  static Value function(std::string name, std::function<Value(Machine&, Arguments)> call);

  bool is_undefined() const { return std::holds_alternative<Undefined>(held_); }
  bool is_none() const { return std::holds_alternative<std::nullptr_t>(held_); }
  bool is_bool() const { return std::holds_alternative<bool>(held_); }
  bool is_text() const { return std::holds_alternative<Text>(held_); }
  /// Of Python's int, of which True and False are.
  bool is_integer() const { return is_bool() || std::holds_alternative<std::int64_t>(held_); }
  bool is_float() const { return std::holds_alternative<double>(held_); }
  bool is_number() const { return is_integer() || is_float(); }

  /// The caller has asked what it is.
  const std::string& text() const { return *std::get<Text>(held_).text; }
  bool is_safe() const { return is_text() && std::get<Text>(held_).safe; }
  std::int64_t integer() const { return is_bool() ? std::get<bool>(held_) : std::get<std::int64_t>(held_); }
  double number() const { return is_float() ? std::get<double>(held_) : static_cast<double>(integer()); }
  const std::string& message() const { return std::get<Undefined>(held_).message; }

  /// nullptr: it is none.
  const Sequence* sequence() const { return pointer<std::shared_ptr<const Sequence>>(); }
  const Dict* dict() const { return pointer<std::shared_ptr<const Dict>>(); }
  Iterator* iterator() const { return pointer<std::shared_ptr<Iterator>>(); }
  const Function* function() const { return pointer<std::shared_ptr<const Function>>(); }
  Namespace* space() const {
    const auto* held = std::get_if<Namespace*>(&held_);
    return held ? *held : nullptr;
  }

  bool is_true() const;
  /// As Python names its type: "str", "NoneType".
  std::string_view type() const;
  /// Levels of lists and objects.
  int depth() const;
  /// How much there is to look through: values in it, and 16 bytes of text each. What stands in it twice
  /// counts twice.
  std::size_t weight() const;
  bool is_same_object(const Value& other) const;

 private:
  template <class Pointer>
  auto pointer() const -> typename Pointer::element_type* {
    const auto* held = std::get_if<Pointer>(&held_);
    return held ? held->get() : nullptr;
  }

  Variant held_;
};

/// What `namespace()` makes, and `loop`.
struct Namespace {
  std::vector<std::pair<std::string, Value>> members;

  const Value* find(std::string_view name) const;
  void set(std::string_view name, Value value);
};

bool equal(const Value& a, const Value& b);
/// Below, equal or above: -1, 0, 1. Throws a Problem: values of two kinds, or of one without an order.
int order(const Value& a, const Value& b);

/// The items of what can be looped over: characters of a text, keys of an object. An iterator is used up.
std::vector<Value> items_of(const Value& value, Budget& budget);
/// Throws a Problem as Python's len().
std::int64_t length_of(const Value& value);

/// Throws a Problem: an integer beyond 64 bits.
Value from_json(const nlohmann::ordered_json& json);

}  // namespace rocket::jinja
