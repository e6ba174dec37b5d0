#include "pipeline/job_lock.h"

#include <chrono>

#include "base/activity.h"
#include "base/error.h"
#include "base/log.h"
#include "base/stop.h"
#include "pipeline/runner.h"

namespace rocket {

namespace {

using std::chrono::steady_clock;

constexpr std::chrono::minutes kSaidAgain{5};

/// The jobs that this one stands on.
std::set<std::string> all_upstream(const JobSpec& spec, const RunConfig& config) {
  std::set<std::string> jobs;
  for (const std::string& job : upstream_of(spec, config)) {
    jobs.insert(job);
    jobs.merge(all_upstream(job_spec(job), config));
  }
  return jobs;
}

/// Those and the jobs that stand on it.
std::set<std::string> related(const JobSpec& spec, const RunConfig& config) {
  std::set<std::string> jobs = all_upstream(spec, config);
  for (const JobSpec& other : job_specs()) {
    if (all_upstream(other, config).contains(spec.name)) jobs.insert(other.name);
  }
  return jobs;
}

std::string names_of(const std::vector<Claimant>& others) {
  std::string text;
  for (const Claimant& other : others)
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", other.name, describe(other));
  return text;
}

}  // namespace

JobLock::JobLock(const Session& session, const JobSpec& spec) {
  on_root(session.comm, [&] {
    if (!fs::exists(session.run.root())) {
      for (const std::string& job : upstream_of(spec, session.config)) require_done(session, job, spec.name);
    }
    claim_.emplace(session.run.claims(), session.run.claim(spec.name), related(spec, session.config));
  });
  wait(session,
       fmt::format("{}: waits for what others compute in {}", spec.name, session.run.root().string()));
}

JobLock::JobLock(const Session& session, const JobSpec& spec, const std::string& fingerprint) {
  if (session.comm.is_root())
    claim_.emplace(session.siblings / ".claims", spec.name + "-" + fingerprint, std::set<std::string>{});
  wait(session, fmt::format("{}: waits for the same of another point", spec.name));
}

void JobLock::wait(const Session& session, const std::string& what) {
  Comm& comm = session.comm;
  std::optional<steady_clock::time_point> said;
  for (Patience patience;; patience.sleep()) {
    std::vector<Claimant> others;
    on_root(comm, [&] { others = claim_->try_hold(); });
    if (broadcast_text(comm, names_of(others)).empty()) return;
    if (!said || steady_clock::now() - *said > kSaidAgain) {
      log::info("{}: {}", what, names_of(others));
      said = steady_clock::now();
    }
    note_activity();  // who waits for another process is not stuck
    if (any_rank(comm, stop_requested()))
      throw Error(ExitCode::stopped, fmt::format("{}; stopped. The same command goes on", what), true);
  }
}

}  // namespace rocket
