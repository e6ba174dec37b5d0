// Which of many strings begin at a place of a text: one walk finds them all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace rocket {

class PrefixTree {
 public:
  PrefixTree() = default;
  /// Of two equal strings the later counts; empty ones are left out. Ids are not negative.
  explicit PrefixTree(std::vector<std::pair<std::string_view, std::int32_t>> strings);

  /// Calls `use(length, id)` for every string that `text` begins with at `from`, the shortest first.
  template <class Use>
  void for_each_prefix(std::string_view text, std::size_t from, Use&& use) const;

 private:
  static constexpr std::uint32_t kNone = 0;  // the root is nobody's child
  std::uint32_t child(std::uint32_t node, unsigned char byte) const;

  // Children of a node are neighbours, in the order of their bytes; node i's are [first_[i], first_[i + 1]).
  std::vector<std::uint32_t> first_ = {1, 1};
  std::vector<unsigned char> byte_ = {0};
  std::vector<std::int32_t> id_ = {-1};
};

template <class Use>
void PrefixTree::for_each_prefix(std::string_view text, std::size_t from, Use&& use) const {
  std::uint32_t node = 0;
  for (std::size_t at = from; at < text.size(); ++at) {
    node = child(node, static_cast<unsigned char>(text[at]));
    if (node == kNone) return;
    if (id_[node] >= 0) use(at + 1 - from, id_[node]);
  }
}

}  // namespace rocket
