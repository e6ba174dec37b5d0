// What every job of one command works with.
#pragma once

#include "base/events.h"
#include "comm/comm.h"
#include "config/run_config.h"
#include "pipeline/run_directory.h"

namespace rocket {

struct Session {
  Comm& comm;
  std::string config_file;  // as typed, for messages that say what to type next
  RunConfig config;
  RunDirectory run;
  bool fresh = false;
  int ranks_on_node = 1, rank_on_node = 0;
  std::filesystem::path siblings;  // run directories whose results may be taken over (a sweep's); empty: none
};

}  // namespace rocket
