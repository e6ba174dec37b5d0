// Everything validated, the plan printed, nothing written.
#include <algorithm>
#include <cstdio>

#include "adapters/bank_plan.h"
#include "base/error.h"
#include "formats/encoder_weights.h"
#include "formats/tensors.h"
#include "jobs.h"
#include "model/device.h"
#include "model/encoder.h"
#include "pipeline/corpus_data.h"
#include "pipeline/options.h"
#include "pipeline/table.h"
#include "pipeline/task_data.h"
#include "selection/expert_choice.h"

namespace rocket {

namespace {

/// What was found, in the order of the plan; every figure is measured from the files.
struct Findings {
  std::int64_t adapters = 0, shots = 0, shot_tokens = 0, prompt_tokens = 0, items = 0, records = 0,
               skipped = 0;
  std::int64_t base_parameters = 0, encoder_parameters = 0;
  at::Device device{at::kCPU};
  std::int64_t cache_bytes = 0;  // keys and values of scoring.batch_tokens
  std::vector<AdapterFacts> bank;
};

void check_base_and_bank(const Session& session, Findings& found) {
  const RunConfig& config = session.config;
  // On LibTorch's device without memory: names and shapes are checked, no weight is read.
  const Decoder decoder = Decoder::load(config.base.path, compute_type(config), at::Device(at::kMeta));
  const DecoderConfig& base = decoder.config();
  found.base_parameters = ModelWeights(config.base.path).parameters();
  found.device = choose_device(config.device, 0);
  found.cache_bytes =
      config.scoring.batch_tokens * 2 * base.layers * base.kv_heads * base.head_dim *
      static_cast<std::int64_t>(c10::elementSize(found.device.is_cpu() ? at::kFloat : compute_type(config)));
  const Bank bank(configured_bank(config), decoder.modules(), compute_type(config), at::kCPU,
                  config.bank.memory.bytes);
  found.bank = bank.check_all(config.bank.memory.bytes);
  found.adapters = bank.size();
  const ExpertOptions experts = expert_options(config);
  for (const std::string& name : experts.names) {
    if (!find_entry(bank.entries(), name)) fail_data("experts.names: '{}' is not in the bank", name);
  }
  if (experts.names.empty() && experts.count > found.adapters)
    fail_data("experts.count is {}, but the bank holds {} adapters", experts.count, found.adapters);
}

void check_task(const Session& session, Findings& found) {
  const AnswerExtractor extractor = ready_extractor(session.config);
  const BaseText text(session.config);
  for (const Question& shot : read_shots(session.config, extractor)) {
    const ShotTokens tokens = text.shot(shot.record);
    ++found.shots;
    found.shot_tokens += static_cast<std::int64_t>(tokens.example.ids.size());
    found.prompt_tokens += static_cast<std::int64_t>(tokens.prompt.size());
  }
  for (const Question& item : read_evaluation(session.config, extractor)) {
    text.prompt(item.record);
    ++found.items;
  }
}

void check_corpus_and_encoder(const Session& session, Findings& found) {
  const RunConfig& config = session.config;
  load_tokenizer(config.encoder.path);
  // As the base: on the CPU the encoder would be read and packed.
  Encoder::load(config.encoder.path, read_pooling(config.encoder.path, config.encoder.pooling), at::kFloat,
                at::Device(at::kMeta));
  found.encoder_parameters = EncoderWeights(config.encoder.path).parameters();
  CorpusReader corpus = open_corpus(config, [&](const SkippedRecord&) { ++found.skipped; });
  for (Record record; corpus.next(record);) ++found.records;
  if (found.records == 0 && config.selection.policy != "none") fail_data("corpus.records: no records");
}

/// Floating-point operations are 2 a parameter and token; generation is counted at its limit.
Table plan(const RunConfig& config, const Findings& f) {
  const double pass = 2.0 * static_cast<double>(f.base_parameters);
  const double rows = static_cast<double>(f.adapters + 1);
  const double generated = static_cast<double>(config.scoring.max_new_tokens);
  const double score_flops =
      pass * rows *
      (static_cast<double>(f.shot_tokens + f.prompt_tokens) + generated * static_cast<double>(f.shots));
  const std::int64_t most_records = std::min(f.records, config.selection.retrieve) + f.shots;
  const std::int64_t steps = config.training.epochs * ((most_records + config.training.global_batch - 1) /
                                                       config.training.global_batch);
  const double systems = static_cast<double>(config.evaluation.rivals.size() + 1);
  Table table{{"job", "work", "at most"}, {}};
  table.rows = {
      {"score", fmt::format("{} adapters and the base x {} shots", f.adapters, f.shots),
       fmt::format("{:.2e} flop", score_flops)},
      {"experts", fmt::format("{} of {} candidates", config.experts.count, config.experts.candidates), ""},
      {"embed",
       fmt::format("{} records{}, encoder of {} parameters", f.records,
                   f.skipped > 0 ? fmt::format(" ({} broken ones left out)", f.skipped) : "",
                   f.encoder_parameters),
       ""},
      {"select",
       fmt::format("{} nearest, policy {}", std::min(config.selection.retrieve, f.records),
                   config.selection.policy),
       ""},
      {"finetune", fmt::format("up to {} examples, {} epochs", most_records, config.training.epochs),
       fmt::format("{} steps", steps)},
      {"evaluate", fmt::format("{} systems x {} items", systems, f.items),
       fmt::format("{:.2e} flop", pass * systems * static_cast<double>(f.items) * generated)},
      {"export", "the mixture as PEFT folders", ""}};
  return table;
}

/// Bytes: of the bank, of the base and of the keys and values of a full batch.
std::string memory(const Session& session, const Findings& f) {
  const RunConfig& config = session.config;
  const std::int64_t blocks = (f.shots + shots_per_unit - 1) / shots_per_unit;
  const BankPlan plan = plan_bank(f.bank, config.bank.memory.bytes, session.comm.size(), blocks);
  std::string text = describe(plan);
  if (plan.paged())
    text +=
        "bank: larger than bank.memory, so only its headers were checked here; score reads every value "
        "before it begins\n";
  if (const std::string note = note_on_bases(f.bank, config.base.path); !note.empty())
    text += "note: " + note + "\n";
  const std::int64_t base_bytes =
      f.base_parameters * static_cast<std::int64_t>(c10::elementSize(compute_type(config)));
  return text + fmt::format(
                    "base: {} parameters, {} as {}; keys and values of scoring.batch_tokens: {}; device: {}; "
                    "ranks: {}\n",
                    f.base_parameters, size_text(base_bytes), config.base.dtype, size_text(f.cache_bytes),
                    f.device.str(), session.comm.size());
}

}  // namespace

void check(Session& session) {
  on_root(session.comm, [&] {
    require_paths(session.config, all_inputs);
    Findings found;
    check_base_and_bank(session, found);
    check_task(session, found);
    check_corpus_and_encoder(session, found);
    const std::string text =
        fmt::format("{}: everything that the jobs will read is there and valid\n\n", session.config_file) +
        render(plan(session.config, found), TableFormat::text) + "\n" + memory(session, found);
    std::fputs(text.c_str(), stdout);
  });
}

}  // namespace rocket
