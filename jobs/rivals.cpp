// The rivals that are trained: on what the expert is trained on, by the same trainer.
#include <optional>

#include "base/log.h"
#include "jobs.h"
#include "pipeline/lorahub.h"
#include "pipeline/rate_search.h"
#include "pipeline/tuned_rivals.h"

namespace rocket {

namespace {

JobEnd train_mixture(JobContext& context, const std::string& name) {
  Session& session = context.session;
  std::optional<Decoder> decoder;
  std::optional<TunedRival> rival;
  TrainingSet set;
  agree(session.comm, [&] {
    decoder.emplace(configured_base(session.config, session.rank_on_node));
    const BaseText text(session.config);
    set = expert_training_set(session, text);
    cut(set, session.config, text);
    RivalSources sources(session, *decoder);
    rival.emplace(start_of_tuned(name, sources));
  });
  log::info("{}: {} parameters{}", context.record.job, rival->mixture.flat().numel(),
            rival->options.router_only ? ", of which the routers are trained" : "");
  return train_at_best_rate(context, *decoder, rival->mixture, set, rival->options,
                            session.run.rival_training(name));
}

/// Root tries the weights; the other ranks wait.
JobEnd find_weights(JobContext& context) {
  Session& session = context.session;
  bool stopped = false;
  on_root(session.comm, [&] {
    const Decoder decoder = configured_base(session.config, session.rank_on_node);
    RivalSources sources(session, decoder);
    stopped = fit_lorahub(context, sources) == JobEnd::stopped;
  });
  return any_rank(session.comm, stopped) ? JobEnd::stopped : JobEnd::finished;
}

}  // namespace

JobEnd train_rival(JobContext& context) {
  const std::string& name = job_spec(context.record.job).rival;
  return name == "lorahub" ? find_weights(context) : train_mixture(context, name);
}

void rivals(Session& session, Stale stale) {
  bool any = false;
  for (const JobSpec& spec : job_specs()) {
    if (spec.rival.empty() || !is_in_chain(spec, session.config)) continue;
    run_job(session, spec, stale, train_rival);
    any = true;
  }
  if (!any) log::info("rivals: evaluation.rivals names none that is trained");
}

}  // namespace rocket
