#include "comm/fixed_order_sum.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "base/error.h"

namespace rocket {
namespace {

constexpr int kTag = 31;  // of no other message of the program

using Place = std::pair<std::int64_t, std::int64_t>;  // level, index

struct Slice {
  std::size_t first = 0, count = 0;
};

Slice slice_of(std::size_t count, int rank, int ranks) {
  const auto r = static_cast<std::size_t>(rank), n = static_cast<std::size_t>(ranks);
  const std::size_t first = count * r / n;
  return {first, count * (r + 1) / n - first};
}

void add_to(std::vector<float>& sum, std::span<const float> values) {
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
}

/// The sums of blocks of one slice, by place; together they hold every leaf once.
class Tree {
 public:
  Tree(std::int64_t leaves, std::size_t count) : leaves_(leaves), count_(count) {}

  /// A message is a row of blocks: level, index, the slice's values.
  void take(const std::string& message) {
    const std::size_t size = 2 * sizeof(std::int64_t) + count_ * sizeof(float);
    if (message.size() % size != 0)
      fail_internal("a block's sum of {} bytes, expected {}", message.size(), size);
    for (std::size_t at = 0; at < message.size(); at += size) {
      Place place;
      std::memcpy(&place.first, message.data() + at, sizeof(std::int64_t));
      std::memcpy(&place.second, message.data() + at + sizeof(std::int64_t), sizeof(std::int64_t));
      std::vector<float>& sum = sums_[place];
      sum.resize(count_);
      std::memcpy(sum.data(), message.data() + at + 2 * sizeof(std::int64_t), count_ * sizeof(float));
    }
  }

  std::vector<float> total() {
    std::int64_t level = 0;
    while ((std::int64_t{1} << level) < leaves_) ++level;
    return leaves_ == 0 ? std::vector<float>(count_, 0.0f) : of({level, 0});
  }

 private:
  std::vector<float> of(Place place) {
    if (const auto found = sums_.find(place); found != sums_.end()) return std::move(found->second);
    const auto [level, index] = place;
    if (level == 0) fail_internal("leaf {} of {} was not added up", index, leaves_);
    std::vector<float> sum = of({level - 1, 2 * index});
    if (((2 * index + 1) << (level - 1)) < leaves_) add_to(sum, of({level - 1, 2 * index + 1}));
    return sum;
  }

  std::int64_t leaves_;
  std::size_t count_;
  std::map<Place, std::vector<float>> sums_;
};

void append(std::string& message, const void* data, std::size_t bytes) {
  message.append(static_cast<const char*>(data), bytes);
}

}  // namespace

LeafShare leaf_share(std::int64_t leaves, int rank, int ranks) {
  const std::int64_t first = leaves * rank / ranks;
  return {first, leaves * (rank + 1) / ranks - first};
}

void FixedOrderSum::add(std::int64_t leaf, std::span<const float> values) {
  Block block{0, leaf, {values.begin(), values.end()}};
  while (block.index % 2 == 1 && !blocks_.empty() && blocks_.back().level == block.level &&
         blocks_.back().index + 1 == block.index) {
    add_to(blocks_.back().sum, block.sum);
    block = {block.level + 1, block.index / 2, std::move(blocks_.back().sum)};
    blocks_.pop_back();
  }
  blocks_.push_back(std::move(block));
}

void FixedOrderSum::finish(Comm& comm, std::span<float> total) {
  for (int to = 0; to < comm.size(); ++to) {
    const Slice slice = slice_of(count_, to, comm.size());
    std::string message;
    for (const Block& block : blocks_) {
      append(message, &block.level, sizeof block.level);
      append(message, &block.index, sizeof block.index);
      append(message, block.sum.data() + slice.first, slice.count * sizeof(float));
    }
    comm.send(to, kTag, message);
  }
  blocks_.clear();
  const Slice mine = slice_of(count_, comm.rank(), comm.size());
  Tree tree(leaves_, mine.count);
  agree(comm, [&] {
    for (int from = 0; from < comm.size(); ++from) tree.take(comm.receive(kTag).body);
    std::ranges::copy(tree.total(), total.begin() + static_cast<std::ptrdiff_t>(mine.first));
  });
  for (int owner = 0; owner < comm.size(); ++owner) {
    const Slice slice = slice_of(count_, owner, comm.size());
    comm.broadcast(std::as_writable_bytes(total.subspan(slice.first, slice.count)), owner);
  }
}

}  // namespace rocket
