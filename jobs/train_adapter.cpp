// One LoRA on one data set, as a folder of a bank.
#include "adapters/fresh_adapter.h"
#include "base/error.h"
#include "evaluation/export_folder.h"
#include "jobs.h"
#include "pipeline/options.h"
#include "pipeline/training_run.h"
#include "text/corpus.h"

namespace rocket {

namespace {

/// The name becomes a folder, which a bank's reader must see.
void check_name(const RunConfig& config) {
  const std::string& name = config.adapter.name;
  if (name.empty() || name.starts_with('.') || name.find('/') != std::string::npos)
    fail_config("{}: adapter.name: '{}' cannot be the name of a folder of a bank: no '/', no '.' in front",
                config.location("adapter.name"), name);
}

TrainingSet adapter_records(const RunConfig& config, const BaseText& text) {
  CorpusReader reader(expand_globs(config.adapter.records), config.adapter.fields, OnError::stop, {}, Outputs::optional);
  TrainingSet set;
  for (Record record; reader.next(record);) {
    if (!record.rationale) require_output(record);
    set.add(text.example(record), place(record));
  }
  if (set.examples.empty()) fail_data("adapter.records: no records");
  return set;
}

/// The adapter as a mixture of one, whose gate is 1.
Mixture lone_expert(const RunConfig& config, const Decoder& decoder) {
  const auto& a = config.adapter;
  const LoraAdapter fresh =
      fresh_adapter({a.name, a.rank, a.alpha, a.scaling == "rslora", a.targets, config.seed}, decoder.modules());
  return Mixture::assemble(std::span(&fresh, 1), decoder.modules(), {.top_k = 1}, decoder.device());
}

void write_folder(const Session& session, const Mixture& mixture, std::span<const Module> modules) {
  ExportFolder folder(session.run.file("adapter") / session.config.adapter.name, "adapter_config.json");
  write_adapter(folder.temporary(), mixture.expert(0), modules, session.config.base.path);
  folder.commit();
}

}  // namespace

JobEnd train_adapter(JobContext& context) {
  Session& session = context.session;
  std::optional<Decoder> decoder;
  std::optional<Mixture> mixture;
  TrainingSet set;
  agree(session.comm, [&] {
    check_name(session.config);
    decoder.emplace(configured_base(session.config, session.rank_on_node));
    const BaseText text(session.config);
    mixture.emplace(lone_expert(session.config, *decoder));
    set = adapter_records(session.config, text);
    cut(set, session.config, text);
  });
  const TrainingFiles files{session.run.file("adapter_checkpoints"), session.run.file("adapter_training.h5")};
  const JobEnd end = train_and_record(context, *decoder, *mixture, set, files);
  if (end == JobEnd::finished) on_root(session.comm, [&] { write_folder(session, *mixture, decoder->modules()); });
  return end;
}

}  // namespace rocket
