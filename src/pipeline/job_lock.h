// Who works in a run directory: a job waits for itself, for what it reads and for what reads it.
#pragma once

#include <optional>
#include <string>

#include "base/claim.h"
#include "pipeline/job_spec.h"
#include "pipeline/session.h"

namespace rocket {

/// The right to compute a job, held by root for all ranks. score and embed go side by side; nobody discards a
/// result that another job reads at this moment.
class JobLock {
 public:
  /// Collective. Of one run directory. Waits, says for whom, and still obeys a stop: then it throws `stopped`
  /// (75). Where nothing has run yet that the job needs it throws as require_done (pipeline/runner.h).
  JobLock(const Session& session, const JobSpec& spec);
  /// Collective. Of all runs of a sweep: the right to compute what has this fingerprint.
  JobLock(const Session& session, const JobSpec& spec, const std::string& fingerprint);

  /// Root's. True if another process has taken this one for dead.
  bool lost() const { return claim_ && claim_->lost(); }

 private:
  void wait(const Session& session, const std::string& what);

  std::optional<Claim> claim_;  // on root alone
};

}  // namespace rocket
