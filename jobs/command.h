// A command line, parsed: what main hands to the engine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/cores.h"

namespace rocket {

/// `rocket dedup`. What is not given is as in a configuration without it.
struct DedupRequest {
  std::vector<std::string> files, fields;                // fields: OURS=THEIRS
  std::string encoder, keep = "first", output, dropped;  // output empty: stdout
  std::string text = "whole", prefix, long_texts = "cut";
  std::optional<std::string> pooling, device;
  std::optional<std::int64_t> max_length;
  double threshold = 0.9;
};

/// `rocket extract`: how answers are read, as the settings of `task` have it.
struct ExtractRequest {
  std::string answer, take = "first";
  std::optional<std::string> pattern;
  std::vector<std::string> yes_words, no_words;
};

/// `rocket chat`: the chat template of a model folder.
struct ChatRequest {
  std::string model;
  std::optional<std::string> date;
};

struct Command {
  std::string job;
  std::string target;            // CONFIG, RUN, SWEEP or a model folder
  std::vector<std::string> set;  // key.path=value
  bool fresh = false, quiet = false, verbose = false;
  std::string table, format = "text";    // inspect, sweep table
  std::string base;                      // inspect: what an adapter is held against
  std::string one_job;                   // check: this job only
  std::string form = "mixture", folder;  // export; sweep snapshot: the folder
  bool plain = false, decode = false;    // tokenize
  bool json = false;                     // --version
  std::string action;                    // sweep: list, run, table, comparison, snapshot
  DedupRequest dedup;
  ExtractRequest extract;
  ChatRequest chat;
  int point = -1;   // sweep run: -1 = all, or SLURM_ARRAY_TASK_ID
  RankCores cores;  // of this process, before any library with threads is loaded
};

}  // namespace rocket

/// The engine's only door: a shared library, so that help, version and usage errors never load LibTorch.
/// Returns the exit code; has printed every error.
extern "C" int rocket_execute(const rocket::Command* command);
