// Records of what was computed from what: fingerprints, and what has changed since.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/error.h"
#include "config/run_config.h"
#include "pipeline/job_spec.h"
#include "pipeline/run_directory.h"

namespace rocket {

/// An input file as it was when a job read it. Size and time spare hashing a file that nobody touched.
struct InputRecord {
  std::string path;
  std::int64_t size = 0, modified_ns = 0;
  std::string hash;
};

/// parts/<job>/job.json: the truth about one job. manifest.json is all of them in one file, for people.
struct JobRecord {
  std::string job, fingerprint;
  std::string attempt;  // which computation: drawn when the job begins anew, kept when it goes on
  bool done = false;
  std::map<std::string, std::string> results;  // of a job that is done: file in the run directory -> hash
  std::string settings;                        // canonical JSON
  std::map<std::string, InputRecord> inputs;   // by label
  std::map<std::string, std::string> configuration;  // the files that the settings come from: path -> hash
  std::map<std::string, std::string> upstream;       // job -> fingerprint
  std::uint64_t seed = 0;
  std::string build = "null";  // JSON: build_info(); a phrase in records of versions before 0.1
  int ranks = 0;
  std::string started, ended;  // UTC, ISO 8601
  double seconds = 0;          // over all attempts
  int exit = -1;               // of the latest attempt; -1 while it runs
  std::int64_t parts_done = 0, parts_total = 0;
};

/// nullopt if the job has not been started. A record that is gone or broken is that of manifest.json; throws
/// data (65) if it is broken there, too.
std::optional<JobRecord> read_record(const RunDirectory& run, const std::string& job);

/// Commits the record, then manifest.json anew from all records.
void write_record(const RunDirectory& run, const JobRecord& record);

/// Removes the record, also from manifest.json.
void forget_record(const RunDirectory& run, const std::string& job);

/// Writes manifest.json anew from all records.
void write_manifest(const RunDirectory& run);

/// The record that a job started now would have: hashes its inputs (those of `before` are reused for files
/// of the same size and time) and reads the fingerprints that it stands on.
JobRecord describe(const JobSpec& spec, const RunConfig& config, const RunDirectory& run,
                   const std::optional<JobRecord>& before);

/// What differs between two records of a job, in words for the user, and the exit code of such a change
/// (78 a setting, 65 an input file or a job it stands on); nullopt if nothing does.
struct Change {
  ExitCode code;
  std::string what;
};
std::optional<Change> change_between(const JobRecord& was, const JobRecord& now);

std::string utc_now();

}  // namespace rocket
