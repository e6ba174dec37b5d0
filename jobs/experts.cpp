// Algorithm 1 on the stored scores.
#include <fmt/ranges.h>

#include "base/log.h"
#include "jobs.h"
#include "pipeline/options.h"
#include "pipeline/results.h"

namespace rocket {

JobEnd experts(JobContext& context) {
  Session& session = context.session;
  on_root(session.comm, [&] {
    const BankScores scores = read_scores(session.run).bank;
    const ExpertChoice choice = choose_experts(scores, expert_options(session.config));
    for (const std::string& note : choice.notes) log::warn("experts: {}", note);
    write_expert_choice(session.run, choice);
    log::info("experts: {}", fmt::join(choice.experts, ", "));
  });
  return JobEnd::finished;
}

}  // namespace rocket
