// Signs that this process gets further, for the watch over ranks (comm/watch.h).
#pragma once

#include <atomic>
#include <cstdint>

namespace rocket {

inline std::atomic<std::uint64_t> activity{0};

/// Any thread. To be called where much is done in many steps, so that no minute of work passes without it: a
/// rank whose count does not change for `training.hang_limit` is taken to be stuck.
inline void note_activity() {
  activity.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace rocket
