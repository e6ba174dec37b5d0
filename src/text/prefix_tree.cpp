#include "text/prefix_tree.h"

#include <algorithm>

namespace rocket {

PrefixTree::PrefixTree(std::vector<std::pair<std::string_view, std::int32_t>> strings) {
  std::ranges::stable_sort(strings, {}, &std::pair<std::string_view, std::int32_t>::first);
  struct Open {
    std::size_t begin, end, depth;  // the strings below a node, which share `depth` bytes
  };
  std::vector<Open> open = {{0, strings.size(), 0}};
  first_.clear();
  // Breadth first: a node's number is its place in the queue.
  for (std::size_t node = 0; node < open.size(); ++node) {
    first_.push_back(static_cast<std::uint32_t>(open.size()));
    const auto [begin, end, depth] = open[node];
    for (std::size_t i = begin; i < end;) {
      if (strings[i].first.size() == depth) {
        if (depth > 0) id_[node] = strings[i].second;
        ++i;
        continue;
      }
      const std::size_t group = i;
      const char byte = strings[group].first[depth];
      while (i < end && strings[i].first[depth] == byte) ++i;
      open.push_back({group, i, depth + 1});
      byte_.push_back(static_cast<unsigned char>(byte));
      id_.push_back(-1);
    }
  }
  first_.push_back(static_cast<std::uint32_t>(open.size()));
}

std::uint32_t PrefixTree::child(std::uint32_t node, unsigned char byte) const {
  const auto begin = byte_.begin() + first_[node], end = byte_.begin() + first_[node + 1];
  const auto found = std::lower_bound(begin, end, byte);
  return found == end || *found != byte ? kNone : static_cast<std::uint32_t>(found - byte_.begin());
}

}  // namespace rocket
