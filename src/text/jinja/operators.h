// What operators, members and subscripts of expressions compute, as Python does.
#pragma once

#include <optional>
#include <string_view>

#include "text/jinja/machine.h"

namespace rocket::jinja {

/// `sign` is one of + - * / // % **. Throws a Problem: values that it does not take, a result beyond 64 bits.
Value calculated(std::string_view sign, const Value& a, const Value& b, Machine& machine);
Value negated(const Value& value);
Value with_plus(const Value& value);
/// The texts of both, whatever they are (the operator ~).
Value joined(const Value& a, const Value& b, Machine& machine);
/// & < > ' " as references of HTML.
std::string html_escaped(std::string_view text);

/// Whether `container` holds `item`.
bool contains(const Value& container, const Value& item, Budget& budget);

/// value.name: a method goes before a member of that name.
Value member(const Value& value, std::string_view name);
/// value[key]: a member goes before a method.
Value subscript(Machine& machine, const Value& value, const Value& key);
/// value[begin:end:step].
Value slice(Machine& machine, const Value& value, const Value& begin, const Value& end, const Value& step);

/// The method of a text, a list or an object, bound to it; nullopt: Python has none of that name.
std::optional<Value> method(const Value& value, std::string_view name);

}  // namespace rocket::jinja
