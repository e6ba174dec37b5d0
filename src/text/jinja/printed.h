// Values as texts: as Python's str() and repr() write them, and as its json.dumps() does.
#pragma once

#include <optional>
#include <string>

#include "text/jinja/budget.h"
#include "text/jinja/value.h"

namespace rocket::jinja {

/// Throw a Problem: a generator, a function or a namespace, which would print where it lies in memory.
std::string printed(const Value& value, Budget& budget);
std::string represented(const Value& value, Budget& budget);

struct JsonForm {
  std::optional<std::string> indent;  // of a level; nullopt: all on one line
  std::string between_items = ", ", behind_key = ": ";
  bool ascii = false;  // other characters as \uXXXX
  bool sorted = false;
};

/// Throws a Problem: a value that JSON lacks.
std::string as_json(const Value& value, const JsonForm& form, Budget& budget);

/// As Python's repr(): the fewest digits that mean the same number.
std::string number_text(double value);

}  // namespace rocket::jinja
