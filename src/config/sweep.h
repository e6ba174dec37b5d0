// A sweep: one configuration run at many points, each in a run directory of its own.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "config/run_config.h"

namespace rocket {

struct SweepPoint {
  std::string name;  // fit for a folder's name, e.g. "task.k=5,seed=0"
  std::vector<std::pair<std::string, std::string>> settings;  // key, value as one line of YAML
};

struct Sweep {
  std::string config;       // the configuration that the points change
  std::string job = "run";  // what is done at each point: run or train-adapter
  std::string runs;         // the folder of the run directories
  std::vector<SweepPoint> points;
  std::vector<std::string> varying;  // keys whose values differ between points, in the order of the file
};

/// Reads `config`, `job`, `runs` and either `grid` (all combinations, the first key slowest) or `points`.
/// Throws config (78) with all that is wrong, one line each: unknown keys, values that the setting does not
/// take, duplicate points.
Sweep load_sweep(const fs::path& file);

/// The sweep's configuration at a point, with `overrides` applied after the point's settings, and run =
/// RUNS/NAME.
RunConfig load_point(const Sweep& sweep, const SweepPoint& point,
                     const std::vector<std::string>& overrides = {}, std::span<const Input> inputs = {});

/// Copies the sweep and the configuration that it names into `folder`, for jobs that start later. The names
/// of the copies hold the hash of their text, and the copied sweep names the copied configuration. Returns
/// the path of the copied sweep. Throws config (78) as load_sweep does, and for a configuration that is no
/// YAML mapping; storage (74).
fs::path snapshot_sweep(const fs::path& file, const fs::path& folder);

}  // namespace rocket
