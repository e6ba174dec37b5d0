// One LoRA on one data set, as a folder of a bank.
#include <algorithm>

#include "adapters/fresh_adapter.h"
#include "adapters/training_prompt.h"
#include "base/error.h"
#include "base/log.h"
#include "evaluation/export_folder.h"
#include "jobs.h"
#include "pipeline/options.h"
#include "pipeline/training_run.h"
#include "text/corpus.h"

namespace rocket {

namespace {

std::string setting(const RunConfig& config, const std::string& key) {
  return fmt::format("{}: {}", config.location(key), key);
}

/// The name becomes a folder, which a bank's reader must see, and beside which a temporary one with a longer
/// name stands.
void check_name(const RunConfig& config) {
  constexpr std::size_t kLongest = 200;
  const std::string& name = config.adapter.name;
  const bool plain =
      std::ranges::none_of(name, [](unsigned char c) { return c < ' ' || c == 0x7f || c == '/'; });
  if (name.empty() || name.size() > kLongest || name.starts_with('.') || !plain)
    fail_config(
        "{}: '{}' cannot be the name of a folder of a bank: 1 to {} bytes, no '/', no control characters, no "
        "'.' in front",
        setting(config, "adapter.name"), name, kLongest);
}

/// B starts as zero: what is not trained adds nothing to the base. No epochs are legal, as they are for a
/// mixture: they give the adapter as it starts.
void check_that_it_trains(const RunConfig& config) {
  if (config.training.epochs == 0)
    log::warn("{}: 0: the adapter is written as it starts, and does nothing",
              setting(config, "training.epochs"));
  if (config.training.learning_rate == 0)
    fail_config("{}: 0 would leave an adapter that does nothing", setting(config, "training.learning_rate"));
}

/// Of the settings of a mixture none matters: a lone adapter has no routers to train alone or to balance.
TrainingOptions adapter_training(const RunConfig& config) {
  TrainingOptions options = training_options(config);
  options.router_only = false;
  options.balance_coefficient = options.z_coefficient = 0;
  return options;
}

TrainingSet adapter_records(const RunConfig& config, const BaseText& text) {
  const auto& a = config.adapter;
  std::int64_t skipped = 0;
  const auto skip = [&](const SkippedRecord& record) {
    if (++skipped == 1)
      log::warn("{}:{}: {}: left out (adapter.on_error)", record.file, record.line, record.reason);
  };
  const NamedFiles named = named_files(a.records);
  CorpusReader reader(named.files, a.fields, a.on_error == "skip" ? OnError::skip : OnError::stop, skip,
                      Outputs::or_rationale, turns_setting(a.turns));
  TrainingSet set;
  for (Record record; reader.next(record);) set.add(text.example(record), place(record));
  for (const std::string& note : named.notes) log::warn("adapter.records: {}", note);
  for (const std::string& note : reader.notes().warnings("adapter.fields", {"answer", "tests"}))
    log::warn("{}", note);
  if (skipped > 1) log::warn("adapter.records: {} broken records left out", skipped);
  if (const std::string left = reader.turns_left_out().describe("adapter.turns", a.turns); !left.empty())
    log::info("adapter.records: {}", left);
  if (set.examples.empty())
    fail_data("adapter.records: no records in {}{}", a.records.front(), a.records.size() > 1 ? ", ..." : "");
  return set;
}

/// The adapter as a mixture of one, whose gate is 1.
Mixture lone_expert(const RunConfig& config, const Decoder& decoder, at::Device device) {
  const auto& a = config.adapter;
  const LoraAdapter fresh = in_context(setting(config, "adapter.targets"), [&] {
    return fresh_adapter({a.name, a.rank, a.alpha, a.scaling == "rslora", a.targets, config.seed},
                         decoder.modules());
  });
  return Mixture::assemble(std::span(&fresh, 1), decoder.modules(), {.top_k = 1}, device);
}

fs::path folder_of(const Session& session) {
  return session.run.file("adapter") / session.config.adapter.name;
}

void write_folder(const Session& session, const Mixture& mixture, std::span<const Module> modules) {
  ExportFolder folder(folder_of(session), "adapter_config.json");
  write_training_prompt(folder.temporary(), prompt_template(session.config));
  write_adapter(folder.temporary(), mixture.expert(0), modules,
                fs::absolute(session.config.base.path).lexically_normal().string());
  folder.commit();
}

}  // namespace

AdapterPlan check_train_adapter(const RunConfig& config) {
  check_name(config);
  check_that_it_trains(config);
  // On LibTorch's device without memory: names and shapes are checked, no weight is read.
  const Decoder decoder = Decoder::load(config.base.path, compute_type(config), at::Device(at::kMeta));
  const BaseText text(config);
  const Mixture expert = lone_expert(config, decoder, at::kCPU);
  AdapterPlan plan;
  TrainingSet set = adapter_records(config, text);
  plan.records = static_cast<std::int64_t>(set.examples.size());
  cut(set, config, text);
  plan.examples = static_cast<std::int64_t>(set.examples.size());
  for (const Example& example : set.examples) plan.tokens += static_cast<std::int64_t>(example.ids.size());
  for (const LoraWeight& w : expert.expert(0).weights) plan.parameters += w.a_RI.numel() + w.b_OR.numel();
  plan.steps = static_cast<std::int64_t>(global_batches(plan.examples, adapter_training(config)).size());
  return plan;
}

JobEnd train_adapter(JobContext& context) {
  Session& session = context.session;
  std::optional<Decoder> decoder;
  std::optional<Mixture> mixture;
  TrainingSet set;
  agree(session.comm, [&] {
    check_name(session.config);
    check_that_it_trains(session.config);
    decoder.emplace(configured_base(session.config, session.rank_on_node));
    const BaseText text(session.config);
    mixture.emplace(lone_expert(session.config, *decoder, decoder->device()));
    set = adapter_records(session.config, text);
    cut(set, session.config, text);
  });
  on_root(session.comm, [&] {
    in_context(setting(session.config, "adapter.name"), [&] { clear_export(folder_of(session)); });
  });
  const TrainingFiles files{
      session.run.file("adapter_checkpoints"), session.run.file("adapter_training.h5"), {}, {}};
  const JobEnd end =
      train_and_record(context, *decoder, *mixture, set, adapter_training(session.config), files);
  if (end == JobEnd::finished)
    on_root(session.comm, [&] { write_folder(session, *mixture, decoder->modules()); });
  return end;
}

}  // namespace rocket
