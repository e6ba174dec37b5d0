#include "pipeline/adopt.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "pipeline/proof.h"

namespace rocket {

namespace {

/// The record goes last: a kill in between leaves files without a record, which count as absent.
void link_tree(const fs::path& from, const fs::path& to) {
  if (fs::is_directory(from)) {
    make_folders(to);
    for (const fs::directory_entry& entry : fs::directory_iterator(from)) {
      if (entry.path().filename() != "job.json") link_tree(entry.path(), to / entry.path().filename());
    }
    return;
  }
  std::error_code refused;
  fs::create_hard_link(from, to, refused);
  if (refused) fs::copy_file(from, to, refused);
  if (refused) fail_storage("{}: {}", to.string(), refused.message());
}

/// The record of a result that can be taken over.
std::optional<JobRecord> finished(const RunDirectory& run, const JobSpec& spec,
                                  const std::string& fingerprint) {
  try {
    const auto record = read_record(run, spec.name);
    if (record && record->done && record->fingerprint == fingerprint && !missing_proof(run, spec, *record))
      return record;
  } catch (const Error& e) {
    log::detail("{}: not taken over: {}", spec.name, e.what());
  }
  return std::nullopt;
}

std::optional<RunDirectory> finished_sibling(const RunDirectory& run, const fs::path& siblings,
                                             const JobSpec& spec, const std::string& fingerprint) {
  std::vector<fs::path> folders;
  std::error_code absent;  // the first point of a sweep finds no folder yet
  for (const fs::directory_entry& entry : fs::directory_iterator(siblings, absent)) {
    if (entry.is_directory() && entry.path().filename() != run.root().filename())
      folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  for (const fs::path& folder : folders) {
    const RunDirectory other(folder);
    if (finished(other, spec, fingerprint)) return other;
  }
  return std::nullopt;
}

}  // namespace

bool adopt_result(const RunDirectory& run, const fs::path& siblings, const JobSpec& spec,
                  const std::string& fingerprint) {
  const auto other = finished_sibling(run, siblings, spec, fingerprint);
  if (!other) return false;
  remove_tree(run.parts(spec.name));
  make_folders(run.parts("."));
  link_tree(other->parts(spec.name), run.parts(spec.name));
  for (const std::string& output : spec.all_outputs()) {
    remove_tree(run.file(output));
    if (!fs::exists(other->file(output))) continue;
    make_folders(run.file(output).parent_path());
    link_tree(other->file(output), run.file(output));
  }
  const auto record = finished(*other, spec, fingerprint);
  if (!record || missing_proof(run, spec, *record)) return false;  // it was discarded meanwhile
  write_record(run, *record);
  log::info("{}: taken over from {}", spec.name, other->root().string());
  return true;
}

}  // namespace rocket
