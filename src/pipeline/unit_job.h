// Jobs made of units: which are done, computing the others over the ranks, one committed part each.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "pipeline/runner.h"
#include "store/hdf5.h"

namespace rocket {

/// Units are cut from the input, never from the number of ranks.
struct UnitJob {
  std::int64_t units = 0;
  std::string unit_name = "units";  // for progress
  /// Computes one unit and writes its data sets. Runs on the rank that was given it.
  std::function<void(std::int64_t unit, H5Writer& part)> work;
  /// The group of a unit, as root has it; empty: each is its own. A group is computed as a whole, even where
  /// some of its parts are there: its bits may be a function of all its units.
  std::function<std::int64_t(std::int64_t unit)> group;
  /// Called with all units of a group, ascending, before work() of each of them on the same rank; may be
  /// empty.
  std::function<void(const std::vector<std::int64_t>& units)> prepare;
  /// Root's: what progress shows once these units are committed, by whatever rank; may be empty.
  std::function<std::string(const std::vector<std::int64_t>& units)> note;
};

/// The file of a unit: RUN/parts/<job>/unit-000012.h5.
fs::path part_file(const RunDirectory& run, const std::string& job, std::int64_t unit);

/// Collective. Computes what is missing or broken, with a line in the log about what is broken. A part of
/// another fingerprint is an error (65).
JobEnd run_unit_job(JobContext& context, const UnitJob& job);

/// A committed part, for those who put parts together. Throws data (65) unless it is one of this computation.
H5Reader open_part(const JobContext& context, std::int64_t unit);

}  // namespace rocket
