#include "statistics/resample.h"

#include "base/random.h"

namespace rocket {

std::vector<int> resample(std::int64_t items, std::uint64_t seed, std::uint64_t stream,
                          std::uint64_t number) {
  std::vector<int> counts(static_cast<std::size_t>(items));
  const auto places = static_cast<std::uint64_t>(items);
  for (std::uint64_t i = 0; i < places; ++i)
    ++counts[static_cast<std::size_t>(uniform(seed, stream, number * places + i) *
                                      static_cast<double>(items))];
  return counts;
}

}  // namespace rocket
