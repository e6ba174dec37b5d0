#include "config/problems.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"

namespace rocket {

void Problems::add(const std::string& where, const std::string& key, const std::string& what) {
  keys_.insert(key);
  add_line(key.empty() ? fmt::format("{}: {}", where, what) : fmt::format("{}: {}: {}", where, key, what));
}

void Problems::add_line(std::string line) {
  if (std::find(lines_.begin(), lines_.end(), line) == lines_.end()) lines_.push_back(std::move(line));
}

void Problems::throw_if_any() const {
  if (!lines_.empty()) fail_config("{}", fmt::join(lines_, "\n"));
}

}  // namespace rocket
