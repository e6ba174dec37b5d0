// A Jinja template as chat templates use it (Jinja 3.1, set up as transformers does: trim_blocks,
// lstrip_blocks, the tags generation, break and continue). What it does not know is refused by name and
// place.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/budget.h"
#include "text/jinja/value.h"

namespace rocket::jinja {

class Template {
 public:
  /// `name` is the file, for messages. Throws data (65) "<name>:<line>:<column>: ...": invalid UTF-8, no
  /// Jinja, or a statement that is not known.
  Template(std::string_view source, std::string name);
  ~Template();
  Template(Template&&) noexcept;

  /// The text that the template makes of these variables. `now` is what strftime_now tells. Throws data (65)
  /// as above: raise_exception was called, a filter, test, method or function that is not known, or more than
  /// `limits`.
  std::string render(const Dict& variables, std::optional<std::tm> now = std::nullopt,
                     const Limits& limits = {}) const;

 private:
  struct Parsed;
  std::string name_;
  std::unique_ptr<const Parsed> parsed_;
};

}  // namespace rocket::jinja
