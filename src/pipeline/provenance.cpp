#include "pipeline/provenance.h"

#include <sys/stat.h>

#include <chrono>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/claim.h"
#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "buildinfo/build_info.h"

namespace rocket {

using nlohmann::json;

namespace {

json to_json(const JobRecord& r) {
  json inputs = json::object();
  for (const auto& [label, input] : r.inputs)
    inputs[label] = {
        {"path", input.path}, {"size", input.size}, {"modified_ns", input.modified_ns}, {"hash", input.hash}};
  return {{"job", r.job},
          {"fingerprint", r.fingerprint},
          {"attempt", r.attempt},
          {"results", r.results},
          {"state", r.done ? "done" : "partial"},
          {"settings", json::parse(r.settings)},
          {"inputs", inputs},
          {"configuration", r.configuration},
          {"upstream", r.upstream},
          {"seed", r.seed},
          {"build", json::parse(r.build)},
          {"ranks", r.ranks},
          {"started", r.started},
          {"ended", r.ended},
          {"seconds", r.seconds},
          {"exit", r.exit},
          {"parts_done", r.parts_done},
          {"parts_total", r.parts_total}};
}

JobRecord from_json(const json& j) {
  JobRecord r;
  r.job = j.at("job");
  r.fingerprint = j.at("fingerprint");
  r.attempt = j.value("attempt", "");  // absent in records of earlier versions, as are the results
  r.results = j.value("results", r.results);
  r.done = j.at("state") == "done";
  r.settings = j.at("settings").dump();
  for (const auto& [label, input] : j.at("inputs").items())
    r.inputs[label] = {input.at("path"), input.at("size"), input.at("modified_ns"), input.at("hash")};
  r.configuration = j.value("configuration", r.configuration);  // absent in records of earlier versions
  r.upstream = j.at("upstream").get<std::map<std::string, std::string>>();
  r.seed = j.at("seed");
  r.build = j.at("build").dump();
  r.ranks = j.at("ranks");
  r.started = j.at("started");
  r.ended = j.at("ended");
  r.seconds = j.at("seconds");
  r.exit = j.at("exit");
  r.parts_done = j.at("parts_done");
  r.parts_total = j.at("parts_total");
  return r;
}

/// A record, or why there is none.
struct Found {
  std::optional<JobRecord> record;
  std::string broken;  // the reason; empty: absent
};

Found record_file(const RunDirectory& run, const std::string& job) {
  const fs::path path = run.record(job);
  if (!fs::exists(path)) return {};
  try {
    return {from_json(json::parse(read_file(path))), ""};
  } catch (const json::exception& e) {
    return {std::nullopt, e.what()};
  }
}

/// The jobs of manifest.json; none where it is gone or broken: it can be written anew from the records.
json manifest_jobs(const RunDirectory& run) {
  if (!fs::exists(run.manifest())) return json::object();
  const json manifest = json::parse(read_file(run.manifest()), nullptr, false);
  return manifest.is_object() && manifest.contains("jobs") && manifest["jobs"].is_object() ? manifest["jobs"]
                                                                                           : json::object();
}

std::optional<JobRecord> manifest_record(const RunDirectory& run, const std::string& job) {
  const json jobs = manifest_jobs(run);
  try {
    if (jobs.contains(job)) return from_json(jobs.at(job));
  } catch (const json::exception&) {  // broken there, too
  }
  return std::nullopt;
}

/// score and embed may end at the same moment: of two writers the later one must see both records. A process
/// that was suspended while it wrote holds the others up for seconds only: the records are what counts.
void rewrite_manifest(const RunDirectory& run, const std::string& without) {
  using std::chrono::steady_clock;
  const auto latest = steady_clock::now() + std::chrono::seconds(10);
  Claim claim(run.claims(), "manifest", {});
  for (Patience patience; !claim.try_hold().empty() && steady_clock::now() < latest;) patience.sleep();
  json jobs = manifest_jobs(run);
  for (const JobSpec& spec : job_specs()) {
    if (!spec.in_manifest) continue;
    if (const Found found = record_file(run, spec.name); found.record)
      jobs[spec.name] = to_json(*found.record);
  }
  jobs.erase(without);
  write_file(run.manifest(), json{{"rocket", version()}, {"jobs", jobs}}.dump(1) + "\n");
}

InputRecord record_of(const InputFile& file, const InputRecord* before) {
  struct stat status {};
  if (stat(file.path.c_str(), &status) != 0)
    fail_data("{}: {}: {}", file.label, file.path.string(), std::strerror(errno));
  InputRecord now{file.path.string(), status.st_size,
                  std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec, ""};
  const bool untouched = before && before->path == now.path && before->size == now.size &&
                         before->modified_ns == now.modified_ns;
  now.hash = untouched ? before->hash : hash_file(file.path);
  return now;
}

std::string fingerprint_of(const JobSpec& spec, const JobRecord& record) {
  Hasher hasher;
  hasher.add(spec.name);
  hasher.add(std::to_string(spec.version));
  hasher.add(record.settings);
  for (const auto& [label, input] : record.inputs) {
    hasher.add(label);
    hasher.add(input.hash);
  }
  for (const auto& [job, fingerprint] : record.upstream) {
    hasher.add(job);
    hasher.add(fingerprint);
  }
  return hasher.hex();
}

std::optional<std::string> changed_input(const JobRecord& was, const JobRecord& now) {
  for (const auto& [label, input] : now.inputs) {
    const auto before = was.inputs.find(label);
    if (before == was.inputs.end()) return fmt::format("{} ({}) is new", label, input.path);
    if (before->second.hash != input.hash) return fmt::format("{} ({}) has changed", label, input.path);
  }
  for (const auto& [label, input] : was.inputs) {
    if (!now.inputs.contains(label)) return fmt::format("{} ({}) is gone", label, input.path);
  }
  return std::nullopt;
}

}  // namespace

std::optional<JobRecord> read_record(const RunDirectory& run, const std::string& job) {
  const Found found = record_file(run, job);
  if (found.record) return found.record;
  if (job_spec(job).in_manifest)
    if (auto kept = manifest_record(run, job)) return kept;
  if (found.broken.empty()) return std::nullopt;
  fail_data("{}: not a job record of rocket ({}); `rocket {} CONFIG --fresh` computes the job anew",
            run.record(job).string(), found.broken, job_spec(job).command());
}

void write_record(const RunDirectory& run, const JobRecord& record) {
  make_folders(run.parts(record.job));
  write_file(run.record(record.job), to_json(record).dump(1) + "\n");
  write_manifest(run);
}

void forget_record(const RunDirectory& run, const std::string& job) {
  if (manifest_jobs(run).contains(job)) rewrite_manifest(run, job);
  remove_tree(run.record(job));
}

void write_manifest(const RunDirectory& run) {
  rewrite_manifest(run, "");
}

JobRecord describe(const JobSpec& spec, const RunConfig& config, const RunDirectory& run,
                   const std::optional<JobRecord>& before) {
  JobRecord now;
  now.job = spec.name;
  now.settings = canonical(config, spec.settings);
  now.seed = config.seed;
  now.build = build_info().dump();
  for (const InputFile& file : input_files(spec, config)) {
    const InputRecord* known = nullptr;
    if (before && before->inputs.contains(file.label)) known = &before->inputs.at(file.label);
    now.inputs[file.label] = record_of(file, known);
  }
  for (const std::string& job : upstream_of(spec, config)) {
    const auto record = read_record(run, job);
    now.upstream[job] = record ? record->fingerprint : "";
  }
  now.fingerprint = fingerprint_of(spec, now);
  return now;
}

std::optional<Change> change_between(const JobRecord& was, const JobRecord& now) {
  if (was.fingerprint == now.fingerprint) return std::nullopt;
  std::string settings;
  for (const SettingChange& change : setting_changes(was.settings, now.settings)) {
    if (!settings.empty()) settings += "; ";
    settings += fmt::format("{} was {}, is {}", change.key, change.was.empty() ? "absent" : change.was,
                            change.now.empty() ? "absent" : change.now);
  }
  if (!settings.empty()) return Change{ExitCode::config, settings};
  if (const auto input = changed_input(was, now)) return Change{ExitCode::data, *input};
  for (const auto& [job, fingerprint] : now.upstream) {
    const auto before = was.upstream.find(job);
    if (before == was.upstream.end() || before->second != fingerprint)
      return Change{ExitCode::data, fmt::format("it stands on an earlier result of `{}`", job)};
  }
  return Change{ExitCode::data, fmt::format("it was computed by another version of the job ({})",
                                            build_phrase(json::parse(was.build)))};
}

std::string utc_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace rocket
