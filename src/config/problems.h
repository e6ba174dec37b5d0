// What is wrong with a configuration, gathered so that the user sees all of it at once.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <vector>

namespace rocket {

class Problems {
 public:
  /// `where` is "file:line" or "--set key=value"; `key` may be empty.
  void add(const std::string& where, const std::string& key, const std::string& what);
  void add_line(std::string line);
  std::size_t size() const { return lines_.size(); }
  /// Something was added under this very key.
  bool concern(const std::string& key) const { return keys_.count(key) != 0; }
  /// Throws config (78) with one line per problem, if there is any.
  void throw_if_any() const;

 private:
  std::vector<std::string> lines_;
  std::set<std::string> keys_;
};

}  // namespace rocket
