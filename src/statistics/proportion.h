// The interval of one share of right answers.
#pragma once

#include <cstdint>
#include <utility>

namespace rocket {

/// The 95 % interval of a share after Wilson (1927); (0, 1) for no items.
std::pair<double, double> wilson_interval(std::int64_t correct, std::int64_t items);

}  // namespace rocket
