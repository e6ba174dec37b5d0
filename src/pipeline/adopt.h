// Runs of a sweep that agree on a job's fingerprint compute it once: the others take over the result.
#pragma once

#include <filesystem>
#include <string>

#include "pipeline/job_spec.h"
#include "pipeline/provenance.h"

namespace rocket {

/// Looks among the run directories of `siblings` for a finished `spec` with this fingerprint; links its files
/// into `run` (hard links, else copies: finished files are never written again) and writes the record. False
/// if there is none whose files prove it.
bool adopt_result(const RunDirectory& run, const std::filesystem::path& siblings, const JobSpec& spec,
                  const std::string& fingerprint);

}  // namespace rocket
