// In which pieces a buffer is sent while it is still being computed.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace rocket {

/// A buffer cut into buckets, from its end to its beginning: the order in which a backward pass gets ready.
/// They are taken in this order whatever gets ready first, so that all ranks send them alike.
class Buckets {
 public:
  struct Range {
    std::size_t first = 0, count = 0;
  };

  /// `count` values in buckets of `bucket` > 0, the one at the beginning being what is left.
  Buckets(std::size_t count, std::size_t bucket);

  /// Each value at most once.
  void ready(Range values);
  void all_ready();
  /// The next bucket, once all its values are ready; each is given once.
  std::optional<Range> take();

 private:
  Range range(std::size_t bucket) const;

  std::size_t count_, size_, taken_ = 0;
  std::vector<std::size_t> missing_;  // values of each bucket that are not ready
};

}  // namespace rocket
