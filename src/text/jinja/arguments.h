// The arguments of a call by the names of its parameters, as Python matches them.
#pragma once

#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace rocket::jinja {

class Bound {
 public:
  /// Throws a Problem: too many, one twice, or a name that is none of `parameters`.
  Bound(std::string_view function, Arguments arguments, std::initializer_list<std::string_view> parameters);

  bool has(std::size_t i) const { return values_[i].has_value(); }
  /// Throws a Problem where it was not given.
  const Value& operator[](std::size_t i) const;
  Value value_or(std::size_t i, Value otherwise) const { return has(i) ? *values_[i] : std::move(otherwise); }
  bool flag(std::size_t i, bool otherwise) const { return has(i) ? values_[i]->is_true() : otherwise; }
  /// Throw a Problem: it is of another type.
  const std::string& text(std::size_t i) const;
  std::string text_or(std::size_t i, std::string otherwise) const {
    return has(i) ? text(i) : std::move(otherwise);
  }
  std::int64_t integer(std::size_t i) const;
  std::int64_t integer_or(std::size_t i, std::int64_t otherwise) const {
    return has(i) ? integer(i) : otherwise;
  }

 private:
  std::string_view function_;
  std::vector<std::string_view> parameters_;
  std::vector<std::optional<Value>> values_;
};

}  // namespace rocket::jinja
