// The mixture of the chosen experts, fine-tuned on the curated records and the shots.
#include "base/log.h"
#include "jobs.h"
#include "pipeline/options.h"
#include "pipeline/rate_search.h"
#include "pipeline/results.h"

namespace rocket {

JobEnd finetune(JobContext& context) {
  Session& session = context.session;
  std::optional<Decoder> decoder;
  std::optional<Mixture> mixture;
  TrainingSet set;
  agree(session.comm, [&] {
    decoder.emplace(configured_base(session.config, session.rank_on_node));
    const BaseText text(session.config);
    set = expert_training_set(session, text);
    cut(set, session.config, text);
    mixture.emplace(initial_mixture(session, decoder->modules(), decoder->device()));
  });
  if (mixture->options().top_k == 1)
    log::info(
        "finetune: top_k is 1, so the gates are the unnormalised probabilities (else routers get no "
        "gradient)");
  return train_at_best_rate(context, *decoder, *mixture, set, training_options(session.config),
                            session.run.expert_training());
}

}  // namespace rocket
