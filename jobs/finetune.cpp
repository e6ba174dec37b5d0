// The mixture of the chosen experts, fine-tuned on the curated records and the shots.
#include "base/log.h"
#include "jobs.h"
#include "pipeline/options.h"
#include "pipeline/results.h"
#include "pipeline/training_run.h"

namespace rocket {

namespace {

/// D_A then D_K; the place among the examples that are kept is a record's number in the order of an epoch and
/// in dropout.
TrainingSet training_set(const Session& session, const BaseText& text) {
  TrainingSet set;
  for (const SelectedRecord& selected : read_selected(session.run))
    set.add(text.example(selected.record),
            fmt::format("{} (record {} of the corpus)", place(selected.record), selected.index));
  for (const Question& shot : read_shots(session.config, answer_reader(session.config)))
    set.add(text.example(shot.record), place(shot.record));
  return set;
}

}  // namespace

JobEnd finetune(JobContext& context) {
  Session& session = context.session;
  std::optional<Decoder> decoder;
  std::optional<Mixture> mixture;
  TrainingSet set;
  agree(session.comm, [&] {
    decoder.emplace(configured_base(session.config, session.rank_on_node));
    const BaseText text(session.config);
    set = training_set(session, text);
    cut(set, session.config, text);
    mixture.emplace(initial_mixture(session, decoder->modules(), decoder->device()));
  });
  if (mixture->options().top_k == 1)
    log::info(
        "finetune: top_k is 1, so the gates are the unnormalised probabilities (else routers get no "
        "gradient)");
  return train_and_record(context, *decoder, *mixture, set, training_options(session.config),
                          {session.run.checkpoints(), session.run.file("training.h5")});
}

}  // namespace rocket
