// Independent pieces of work, handed out to ranks as they become free.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "comm/comm.h"

namespace rocket {

/// How a round of units ended.
enum class UnitsEnd { finished, stopped };

struct UnitsHooks {
  /// Computes and commits one unit. Runs on the rank that was given it.
  std::function<void(std::int64_t unit)> work;
  /// Runs on root whenever some rank has committed a unit, one call at a time, beside root's own `work` and
  /// in another thread; may be empty. What it throws ends the round like a unit that throws.
  std::function<void(std::int64_t unit, int by_rank)> committed;
};

/// Collective. Every unit of `pending` (the same list on every rank) is worked on by exactly one rank, in
/// order of the list as ranks become free; rank 0 works too while a thread of its own hands out units.
/// A stop requested on any rank ends the round after the units in flight (`stopped`). A unit that throws
/// ends it in the same way, and then every rank throws the error of the lowest failing rank. After `stopped`
/// the stop is requested on every rank. Nobody spins while waiting.
UnitsEnd run_units(Comm& comm, const std::vector<std::int64_t>& pending, const UnitsHooks& hooks);

}  // namespace rocket
