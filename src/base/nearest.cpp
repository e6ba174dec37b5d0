#include "base/nearest.h"

#include <algorithm>
#include <utility>

namespace rocket {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  // A pasted paragraph is nobody's typing error; the cut bounds the cost.
  word = word.substr(0, 100);
  return *std::min_element(known.begin(), known.end(), [&](const std::string& a, const std::string& b) {
    return edit_distance(word, a) < edit_distance(word, b);
  });
}

namespace {

std::pair<std::string_view, std::string_view> section_and_name(std::string_view path) {
  const std::size_t dot = path.rfind('.');
  if (dot == std::string_view::npos) return {"", path};
  return {path.substr(0, dot), path.substr(dot + 1)};
}

}  // namespace

std::string nearest_key(std::string_view path, const std::vector<std::string>& known) {
  const auto [section, name] = section_and_name(path.substr(0, 100));
  const auto cost = [section = section, name = name](const std::string& key) {
    const auto [other_section, other_name] = section_and_name(key);
    const std::size_t sections = std::min<std::size_t>(edit_distance(section, other_section), 5);
    return 3 * edit_distance(name, other_name) + sections;
  };
  return *std::min_element(known.begin(), known.end(),
                           [&](const std::string& a, const std::string& b) { return cost(a) < cost(b); });
}

}  // namespace rocket
