// What every job of one command works with.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/events.h"
#include "comm/comm.h"
#include "config/run_config.h"
#include "pipeline/run_directory.h"

namespace rocket {

struct Session {
  Comm& comm;
  std::string config_file;  // CONFIG or SWEEP as typed
  RunConfig config;
  RunDirectory run;
  bool fresh = false;
  int rank_on_node = 0;
  std::string ranks;                 // how many, where, with how many threads: for the first line of each job
  std::optional<std::size_t> point;  // of the sweep that this run belongs to
  std::filesystem::path siblings;  // run directories whose results may be taken over (a sweep's); empty: none

  std::vector<std::string> settings;  // --set, as typed

  /// For messages that say what to type next: fit for a shell, with the same --set. A job of a sweep's point
  /// is no command of its own.
  std::string command(const std::string& job) const;
};

}  // namespace rocket
