// What is wrong with a template, or with the values that it meets: one sentence, and where it stands.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace rocket::jinja {

/// Of the text of a template; both from 1, columns in bytes.
struct Place {
  int line = 1, column = 1;
};

/// Template (template.h) turns it into an Error of the file.
class Problem : public std::runtime_error {
 public:
  explicit Problem(const std::string& message) : std::runtime_error(message) {}
  Problem(const std::string& message, Place place) : std::runtime_error(message), place_(place) {}

  const std::optional<Place>& place() const { return place_; }
  /// The innermost place is the one that is told.
  void stands_at(Place place) {
    if (!place_) place_ = place;
  }

 private:
  std::optional<Place> place_;
};

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  throw Problem(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace rocket::jinja
