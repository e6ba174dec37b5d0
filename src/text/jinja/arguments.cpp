#include "text/jinja/arguments.h"

#include <algorithm>

namespace rocket::jinja {

Bound::Bound(std::string_view function, Arguments arguments,
             std::initializer_list<std::string_view> parameters)
    : function_(function), parameters_(parameters), values_(parameters.size()) {
  if (arguments.positional.size() > values_.size())
    refuse("{}: {} arguments where at most {} are known", function, arguments.positional.size(),
           values_.size());
  std::ranges::move(arguments.positional, values_.begin());
  for (auto& [name, value] : arguments.named) {
    const auto found = std::ranges::find(parameters_, name);
    if (found == parameters_.end()) refuse("{}: no argument '{}' is known", function, name);
    auto& slot = values_[static_cast<std::size_t>(found - parameters_.begin())];
    if (slot) refuse("{}: argument '{}' is given twice", function, name);
    slot = std::move(value);
  }
}

const Value& Bound::operator[](std::size_t i) const {
  if (!values_[i]) refuse("{}: argument '{}' is missing", function_, parameters_[i]);
  return *values_[i];
}

const std::string& Bound::text(std::size_t i) const {
  const Value& value = (*this)[i];
  if (!value.is_text())
    refuse("{}: argument '{}': expected a str, got a '{}'", function_, parameters_[i], value.type());
  return value.text();
}

std::int64_t Bound::integer(std::size_t i) const {
  const Value& value = (*this)[i];
  if (!value.is_integer())
    refuse("{}: argument '{}': expected an int, got a '{}'", function_, parameters_[i], value.type());
  return value.integer();
}

}  // namespace rocket::jinja
