#include "pipeline/proof.h"

#include <algorithm>

#include "base/files.h"
#include "base/hash.h"
#include "evaluation/export_folder.h"
#include "store/seal.h"
#include "training/checkpoint.h"

namespace rocket {

namespace {

bool is_hdf5(const fs::path& file) {
  return file.extension() == ".h5";
}

std::vector<fs::path> files_in(const fs::path& folder, const JobSpec& spec, const std::string& adapter) {
  if (const auto steps = checkpoint_steps(folder); !steps.empty())
    return {checkpoint_path(folder, steps.back())};
  return exported_files(folder.filename() == spec.shared_folder ? folder / adapter : folder);
}

std::vector<fs::path> result_files(const RunDirectory& run, const JobSpec& spec, const std::string& adapter) {
  std::vector<fs::path> files;
  for (const std::string& output : spec.all_outputs()) {
    const fs::path path = run.file(output);
    if (fs::is_regular_file(path)) files.push_back(path);
    if (!fs::is_directory(path)) continue;
    const std::vector<fs::path> inside = files_in(path, spec, adapter);
    files.insert(files.end(), inside.begin(), inside.end());
  }
  if (!spec.parts_are_read) return files;
  for (const fs::directory_entry& entry : fs::directory_iterator(run.parts(spec.name))) {
    if (is_hdf5(entry.path())) files.push_back(entry.path());
  }
  return files;
}

/// Of what was written before results were recorded.
std::optional<std::string> missing_output(const RunDirectory& run, const JobSpec& spec) {
  for (const std::string& output : spec.outputs) {
    const fs::path path = run.file(output);
    if (fs::is_directory(path) ? fs::is_empty(path) : !fs::exists(path)) return output + " is gone";
  }
  return std::nullopt;
}

std::optional<std::string> damage_of(const fs::path& file, const std::string& hash) {
  if (!is_hdf5(file))
    return hash_file(file) == hash ? std::nullopt : std::optional<std::string>("was changed");
  try {
    check_seal(file);
    return std::nullopt;
  } catch (const Error&) {
    return "is damaged: its checksum does not fit";
  }
}

/// Runs `read` on what `job` left; what turns out to be damaged becomes an error that says the way out.
template <class F>
auto reading_results_of(const std::string& job, F&& read) {
  try {
    return read();
  } catch (const Error& e) {
    if (e.code() != ExitCode::data) throw;
    fail_data("{}. Delete it, and `rocket {} CONFIG` makes it again", e.what(), job_spec(job).command());
  }
}

void check_part(const RunDirectory& run, const VirtualPart& part) {
  reading_results_of("embed", [&] { check_seal(run.file(part.file)); });
}

}  // namespace

std::map<std::string, std::string> results_of(const RunDirectory& run, const JobSpec& spec,
                                              const std::string& adapter) {
  std::map<std::string, std::string> results;
  for (const fs::path& file : result_files(run, spec, adapter))
    results[file.lexically_relative(run.root()).string()] =
        is_hdf5(file) ? stored_seal(file) : hash_file(file);
  return results;
}

std::optional<std::string> missing_proof(const RunDirectory& run, const JobSpec& spec,
                                         const JobRecord& record) {
  if (record.results.empty()) return missing_output(run, spec);
  std::error_code absent;
  const auto recorded = fs::last_write_time(run.record(spec.name), absent);
  for (const auto& [name, hash] : record.results) {
    const fs::path file = run.file(name);
    if (!fs::is_regular_file(file)) return name + " is gone";
    if (is_hdf5(file) && stored_seal(file) != hash)
      return name + " is cut off, or not the one that was written";
    if (!absent && fs::last_write_time(file) < recorded) continue;
    if (const auto damage = damage_of(file, hash)) return name + " " + *damage;
  }
  return std::nullopt;
}

bool is_proven(const RunDirectory& run, const std::string& job) {
  const auto record = read_record(run, job);
  return record && record->done && !missing_proof(run, job_spec(job), *record);
}

H5Reader open_result(const RunDirectory& run, const std::string& output) {
  const std::string& job = job_that_leaves(output).name;
  return reading_results_of(job, [&] {
    const fs::path file = run.file(output);
    check_seal(file);
    const auto record = read_record(run, job);
    if (record && record->results.contains(output) && stored_seal(file) != record->results.at(output))
      fail_data("'{}' is not the one that {} wrote", file.string(), job);
    return H5Reader(file);
  });
}

std::string read_result(const RunDirectory& run, const std::string& output) {
  const std::string& job = job_that_leaves(output).name;
  return reading_results_of(job, [&] {
    std::string text = read_file(run.file(output));
    const auto record = read_record(run, job);
    if (record && record->results.contains(output) && hash_text(text) != record->results.at(output))
      fail_data("'{}' was changed since {} wrote it", run.file(output).string(), job);
    return text;
  });
}

void check_embeddings(Comm& comm, const RunDirectory& run, const H5Reader& embed) {
  agree(comm, [&] {
    const std::vector<VirtualPart> parts = embed.parts("embedding");
    for (auto i = static_cast<std::size_t>(comm.rank()); i < parts.size();
         i += static_cast<std::size_t>(comm.size()))
      check_part(run, parts[i]);
  });
}

void check_embeddings(const RunDirectory& run, const H5Reader& embed, std::vector<std::int64_t> rows) {
  std::ranges::sort(rows);
  for (const VirtualPart& part : embed.parts("embedding")) {
    const auto next = std::ranges::lower_bound(rows, part.first_row);
    if (next != rows.end() && *next < part.first_row + part.rows) check_part(run, part);
  }
}

}  // namespace rocket
