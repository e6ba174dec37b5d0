#include "evaluation/report_names.h"

#include <algorithm>
#include <string_view>

namespace rocket::report {
namespace {

constexpr std::size_t kLong = 16;
constexpr std::string_view kSeparators = "-_./";

std::size_t common_front(const std::vector<std::string>& names) {
  std::size_t length = names[0].size();
  for (const std::string& name : names) {
    const auto end = std::mismatch(names[0].begin(), names[0].end(), name.begin(), name.end()).first;
    length = std::min(length, static_cast<std::size_t>(end - names[0].begin()));
  }
  while (length > 0 && kSeparators.find(names[0][length - 1]) == std::string_view::npos) {
    --length;
  }
  return length;
}

}  // namespace

std::string Affixes::strip(const std::string& name) const {
  const bool fits =
      name.size() > front.size() + back.size() && name.starts_with(front) && name.ends_with(back);
  return fits ? name.substr(front.size(), name.size() - front.size() - back.size()) : name;
}

Affixes common_affixes(const std::vector<std::string>& names) {
  const auto shorter = [](const std::string& a, const std::string& b) { return a.size() < b.size(); };
  if (names.size() < 2 || std::max_element(names.begin(), names.end(), shorter)->size() <= kLong) {
    return {};
  }
  std::vector<std::string> reversed;
  for (const std::string& name : names) {
    reversed.emplace_back(name.rbegin(), name.rend());
  }
  const std::size_t front = common_front(names), back = common_front(reversed);
  if (std::min_element(names.begin(), names.end(), shorter)->size() <= front + back) {
    return {};
  }
  return {names[0].substr(0, front), names[0].substr(names[0].size() - back)};
}

}  // namespace rocket::report
