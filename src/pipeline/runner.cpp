#include "pipeline/runner.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>

#include "base/control_group.h"
#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stop.h"
#include "base/work_mark.h"
#include "model/device.h"
#include "pipeline/adopt.h"
#include "pipeline/device_agreement.h"
#include "pipeline/job_lock.h"
#include "pipeline/proof.h"

namespace rocket {

namespace {

/// Under the fingerprint, so that what several changes leave lies side by side.
void set_parts_aside(const RunDirectory& run, const JobSpec& spec, const std::string& fingerprint) {
  make_folders(run.parts_before(spec.name));
  std::vector<fs::path> parts;
  for (const fs::directory_entry& entry : fs::directory_iterator(run.parts(spec.name)))
    parts.push_back(entry.path());
  for (const fs::path& part : parts) {
    const std::string name = part.filename().string();
    if (!name.starts_with("unit-")) continue;
    std::error_code failed;
    fs::rename(part, run.parts_before(spec.name) / (fingerprint + "-" + name), failed);
    if (failed) fail_storage("{}: cannot be set aside: {}", part.string(), failed.message());
  }
}

/// `before`: the record, if there is one and its parts are worth looking at again.
void discard(const RunDirectory& run, const JobSpec& spec, const std::optional<JobRecord>& before) {
  // The record goes first: a kill in between leaves output without a record, which counts as absent.
  forget_record(run, spec.name);
  for (const std::string& output : spec.all_outputs()) {
    if (output != spec.shared_folder) remove_tree(run.file(output));
  }
  if (spec.keeps_blocks && before) return set_parts_aside(run, spec, before->fingerprint);
  remove_tree(run.parts(spec.name));
}

[[noreturn]] void refuse(const Session& session, const std::string& job, const Change& change) {
  throw Error(change.code, fmt::format("{}: {} since it was computed in {}. `{} --fresh` computes it anew",
                                       job, change.what, session.run.root().string(),
                                       session.command(job_spec(job).command())));
}

/// Root only. Temporary files of this job's killed attempts. Other jobs may be writing beside it at this
/// moment.
void remove_own_leftovers(const RunDirectory& run, const JobSpec& spec) {
  remove_leftovers(run.parts(spec.name));
  std::error_code absent;
  for (const std::string& output : spec.all_outputs()) {
    const fs::path file = run.file(output);
    for (const fs::directory_entry& entry : fs::directory_iterator(file.parent_path(), absent)) {
      if (entry.path().filename().string().starts_with(file.filename().string() +
                                                       std::string(kTemporaryMark)))
        remove_tree(entry.path());
    }
  }
  for (const std::string& output : spec.outputs) {
    if (fs::is_directory(run.file(output))) remove_leftovers(run.file(output));
  }
}

bool lies_in(const fs::path& path, const fs::path& folder) {
  const fs::path within = fs::weakly_canonical(path).lexically_relative(fs::weakly_canonical(folder));
  return !within.empty() && *within.begin() != "..";
}

/// Root only. A job removes its output before it begins, so it cannot read from there.
void refuse_own_output(const Session& session, const JobSpec& spec) {
  for (const InputFile& file : input_files(spec, session.config)) {
    for (const std::string& output : spec.all_outputs()) {
      if (!lies_in(file.path, session.run.file(output))) continue;
      const std::string key = file.label.substr(0, file.label.find('/'));
      fail_config(
          "{}: {}: {} is what {} itself writes and removes before it begins: copy it elsewhere and name the "
          "copy, or set another run",
          session.config.location(key), key, file.path.string(), spec.name);
    }
  }
}

/// Path and hash of the configuration, and of the sweep file if this is a point of one.
std::map<std::string, std::string> configuration_files(const Session& session) {
  std::map<std::string, std::string> files;
  for (const std::string& file : {session.config.file, session.config_file}) {
    if (fs::exists(file)) files[file] = hash_file(file);
  }
  return files;
}

/// Root only. Without one that is readable a job can still be computed anew.
std::optional<JobRecord> record_before(const RunDirectory& run, const JobSpec& spec, Stale stale) {
  try {
    return read_record(run, spec.name);
  } catch (const Error&) {
    if (stale != Stale::discard_all) throw;
    return std::nullopt;
  }
}

/// What tells parts of this computation from those of one that was discarded.
std::string new_attempt() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

/// Root only. True if nothing is left to do. Whatever else there is to say is said under the lock.
bool is_finished(const Session& session, const JobSpec& spec) {
  try {
    const auto record = read_record(session.run, spec.name);
    if (!record || !record->done) return false;
    require_done(session, spec.name, spec.name);
    if (!fs::exists(session.run.record(spec.name)) || !fs::exists(session.run.manifest()))
      write_record(session.run, *record);
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// Root only, under the lock. The record to go on with; `done` says that nothing is left to do.
JobRecord open_record(const Session& session, const JobSpec& spec, Stale stale) {
  for (const std::string& job : upstream_of(spec, session.config)) require_done(session, job, spec.name);
  std::optional<JobRecord> before = record_before(session.run, spec, stale);
  JobRecord now = describe(spec, session.config, session.run, before);
  now.configuration = configuration_files(session);
  const auto change = before ? change_between(*before, now) : std::nullopt;
  const bool nothing_kept = before && !before->done && before->parts_done == 0;
  if (change && stale == Stale::refuse && !nothing_kept) refuse(session, spec.name, *change);
  if (!before || change || stale == Stale::discard_all) {
    discard(session.run, spec, change ? before : std::nullopt);
    before.reset();
  }
  now.attempt = before ? before->attempt : new_attempt();
  if (!before) return now;
  now.seconds = before->seconds;
  now.started = before->started;
  now.ended = before->ended;
  now.parts_done = before->parts_done;
  now.parts_total = before->parts_total;
  if (!before->done) return now;
  if (const auto fault = missing_proof(session.run, spec, *before)) {
    log::warn("{}: its record says done, but {}: it is not finished", spec.name, *fault);
    return now;
  }
  now.done = true;
  now.results = before->results;
  now.exit = before->exit;
  return now;
}

void close_record(const Session& session, const JobSpec& spec, JobRecord& record, double seconds, int exit) {
  record.seconds += seconds;
  record.exit = exit;
  record.done = exit == 0;
  if (record.done) {
    record.parts_done = record.parts_total = std::max<std::int64_t>(record.parts_total, 1);
    record.results = results_of(session.run, spec, session.config.adapter.name);
  }
  record.ended = utc_now();
  write_record(session.run, record);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Root only. An attempt that failed is written down as well; the error itself is what the user must see.
void note_failure(const Session& session, const JobSpec& spec, JobRecord& record, double seconds, int exit) {
  try {
    close_record(session, spec, record, seconds, exit);
  } catch (const Error& e) {
    log::detail("{}", e.what());
  }
}

/// What the job computes on, for its first line.
std::string resources(const Session& session, const JobSpec& spec) {
  return fmt::format("{}, {}, {:.1f} GiB of memory", session.ranks,
                     spec.on_device ? device_text(session.config.device) : "cpu",
                     static_cast<double>(memory_limit()) / (1 << 30));
}

/// The most memory of this rank's GPU that the process has held; 0 where it computes on the CPU.
std::int64_t device_bytes(const Session& session, const JobSpec& spec) {
  return spec.on_device ? peak_device_bytes(choose_device(session.config.device, session.rank_on_node)) : 0;
}

/// Collective. A signal that came between two jobs of a chain, or while the program was loading.
void refuse_after_stop(Comm& comm, const JobSpec& spec) {
  if (any_rank(comm, stop_requested()))
    throw Error(ExitCode::stopped,
                fmt::format("{}: stopped before it began. The same command goes on", spec.name), true);
}

/// Collective. Points of a sweep that start together compute what they share once. True if the result of
/// another point was taken over; else this one computes it, while `lock` lives.
bool take_over(Session& session, const JobSpec& spec, const JobRecord& record, std::optional<JobLock>& lock) {
  if (session.siblings.empty()) return false;
  lock.emplace(session, spec, broadcast_text(session.comm, record.fingerprint));
  bool taken = false;
  on_root(session.comm,
          [&] { taken = adopt_result(session.run, session.siblings, spec, record.fingerprint); });
  return any_rank(session.comm, taken);
}

/// Root only. Writes down that the job runs.
void begin(const Session& session, const JobSpec& spec, JobRecord& record) {
  remove_own_leftovers(session.run, spec);
  if (record.started.empty()) record.started = utc_now();
  record.ranks = session.comm.size();
  record.exit = -1;
  write_record(session.run, record);
  write_file(session.run.file("config.yaml"), to_yaml(session.config));
}

/// Root only. What a process has written that was taken for dead may be mixed with what another one writes.
void require_lock(const JobLock& lock) {
  if (lock.lost())
    fail(ExitCode::stopped,
         "this process gave no sign of life for minutes, and another one may have taken over; stopped. The "
         "same command goes on");
}

/// Collective, under the lock. Runs the body and closes the record.
void compute(Session& session, const JobSpec& spec, const JobBody& body, const JobLock& lock,
             JobRecord& record) {
  Comm& comm = session.comm;
  job_of_process = spec.name.c_str();  // of a table that lives as long as the process
  record.job = spec.name;
  record.fingerprint = broadcast_text(comm, record.fingerprint);
  record.attempt = broadcast_text(comm, record.attempt);
  EventLog events(session.run.events(), comm.rank(), spec.name);
  events.write("start", {{"fingerprint", record.fingerprint}, {"ranks", comm.size()}});
  JobContext context{session, record, events, lock};
  const auto start = std::chrono::steady_clock::now();
  JobEnd end = JobEnd::finished;
  try {
    end = body(context);
    on_root(comm, [&] { require_lock(lock); });
  } catch (const Error& e) {
    if (comm.is_root() && !lock.lost())
      note_failure(session, spec, record, seconds_since(start), static_cast<int>(e.code()));
    throw Error(e.code(), fmt::format("{}: {}", spec.name, e.what()), e.agreed());
  }
  const int exit = end == JobEnd::finished ? 0 : static_cast<int>(ExitCode::stopped);
  on_root(comm, [&] { close_record(session, spec, record, seconds_since(start), exit); });
  events.write("end", {{"seconds", seconds_since(start)},
                       {"exit", exit},
                       {"memory_bytes", peak_bytes()},
                       {"device_memory_bytes", device_bytes(session, spec)}});
  if (end == JobEnd::stopped)
    throw Error(ExitCode::stopped,
                fmt::format("{}: stopped; what was finished is kept. The same command goes on", spec.name),
                true);
  log::info("{}: done in {:.1f} s", spec.name, seconds_since(start));
}

}  // namespace

void JobContext::save_progress() const {
  if (!session.comm.is_root()) return;
  require_lock(lock);
  write_record(session.run, record);
}

void require_done(const Session& session, const std::string& job, const std::string& for_job) {
  const JobSpec& spec = job_spec(job);
  const std::string command = session.command(spec.command());
  const auto record = read_record(session.run, job);
  if (!record || !record->done)
    fail_data("{} needs the result of {}, which {}: `{}` first", for_job, job,
              record ? "is not finished" : "has not run", command);
  if (const auto fault = missing_proof(session.run, spec, *record))
    fail_data("{} needs the result of {}, but {} in {}: `{}` first", for_job, job, *fault,
              session.run.root().string(), command);
  for (const std::string& upstream : upstream_of(spec, session.config)) require_done(session, upstream, job);
  const JobRecord now = describe(spec, session.config, session.run, record);
  if (const auto change = change_between(*record, now)) refuse(session, job, *change);
}

void run_job(Session& session, const JobSpec& spec, Stale stale, const JobBody& body) {
  Comm& comm = session.comm;
  refuse_after_stop(comm, spec);
  const auto done_before = [&] { log::info("{}: done before, nothing to do", spec.name); };
  bool finished = false;
  on_root(comm, [&] {
    require_paths(session.config, spec.inputs);
    refuse_own_output(session, spec);
    finished = stale != Stale::discard_all && is_finished(session, spec);
  });
  if (any_rank(comm, finished)) return done_before();
  if (spec.on_device)
    agree_on_device(comm, session.config.device, session.rank_on_node,
                    spec.sums_gradients ? SharedGpu::refused : SharedGpu::allowed);

  const JobLock lock(session, spec);
  JobRecord record;
  on_root(comm, [&] { record = open_record(session, spec, stale); });
  if (any_rank(comm, record.done)) return done_before();
  std::optional<JobLock> of_the_sweep;
  if (take_over(session, spec, record, of_the_sweep)) return;
  on_root(comm, [&] { begin(session, spec, record); });
  log::info("{}: {}", spec.name, resources(session, spec));
  compute(session, spec, body, lock, record);
}

}  // namespace rocket
