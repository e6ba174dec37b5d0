// Ways in which an MPI job ends, for check_endings.py to look at from outside.
#pragma once

#include <string_view>

namespace rocket {

/// Runs a job on all ranks that ends in this way and returns what main returns: "done", "stop" (works until a
/// signal comes), "agreed" (the last rank fails and all agree), "alone" (the last rank fails while the others
/// wait for it), "units" (a unit fails), "met" (all meet under a watch), "killed", "stopped", "stuck" (the
/// last rank is, while the others wait for it), "root stopped", "root stuck"; in units under a watch: "work
/// long", "work stopped", "work stuck", "work root stopped", "work stuck patient". `code`
/// is that of the failure.
int run_ending(std::string_view way, int code);

}  // namespace rocket
