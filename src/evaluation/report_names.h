// Names of adapters for pictures, which have little room.
#pragma once

#include <string>
#include <vector>

namespace rocket::report {

/// What all names begin and end with, up to a separator; empty where names are short already or the rest
/// would be.
struct Affixes {
  std::string front, back;

  bool empty() const { return front.empty() && back.empty(); }
  /// The name without them.
  std::string strip(const std::string& name) const;
};

Affixes common_affixes(const std::vector<std::string>& names);

}  // namespace rocket::report
