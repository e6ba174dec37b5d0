// One job from decision to record: finished before, resumed, or anew; and what it stands on must be there.
#pragma once

#include <functional>
#include <string>

#include "pipeline/job_spec.h"
#include "pipeline/provenance.h"
#include "pipeline/session.h"

namespace rocket {

enum class JobEnd { finished, stopped };

/// How to treat results that no longer fit the settings and inputs of now.
enum class Stale {
  refuse,       // an error that names what changed
  recompute,    // `rocket run --fresh`: discard and compute anew
  discard_all,  // `rocket JOB --fresh`: discard this job's output in any case
};

class JobLock;

/// What a job body is told, and what it tells.
struct JobContext {
  Session& session;
  JobRecord& record;  // root's copy is what is stored; `parts_*` are the body's to set
  EventLog& events;
  const JobLock& lock;
  /// Root only: commits the record with the body's progress. Throws stopped (75) if the lock is lost: the
  /// record is then another process's.
  void save_progress() const;
};

using JobBody = std::function<JobEnd(JobContext&)>;

/// Collective. Runs the body unless the job is done. Throws what docs/interface.md section 10 says for jobs
/// that have not run (65), changed settings (78) and inputs (65), and `stopped` (75) if the body was asked to
/// stop.
void run_job(Session& session, const JobSpec& spec, Stale stale, const JobBody& body);

/// Throws unless `job` is done and fits the settings and inputs of now, and so do all jobs that it stands on.
void require_done(const Session& session, const std::string& job, const std::string& for_job);

}  // namespace rocket
