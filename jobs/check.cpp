// Everything validated, the plan printed, nothing written.
#include <algorithm>

#include "adapters/bank_plan.h"
#include "adapters/training_prompt.h"
#include "backend/threads.h"
#include "base/error.h"
#include "base/files.h"
#include "base/output.h"
#include "evaluation/sandbox.h"
#include "formats/encoder_weights.h"
#include "formats/tensors.h"
#include "jobs.h"
#include "model/device.h"
#include "model/encoder.h"
#include "pipeline/corpus_data.h"
#include "pipeline/known_blocks.h"
#include "pipeline/long_texts.h"
#include "pipeline/lorahub.h"
#include "pipeline/options.h"
#include "pipeline/results.h"
#include "pipeline/rivals.h"
#include "pipeline/table.h"
#include "pipeline/task_data.h"
#include "selection/expert_choice.h"
#include "statistics/power.h"
#include "training/training_memory.h"

namespace rocket {

namespace {

constexpr const char* kTrainAdapter = "train-adapter";

bool holds(const std::vector<std::string>& jobs, const std::string& job) {
  return std::ranges::find(jobs, job) != jobs.end();
}

/// What was found, in the order of the plan; every figure is measured from the files.
struct Findings {
  std::int64_t adapters = 0, shots = 0, shot_tokens = 0, prompt_tokens = 0, items = 0, item_tokens = 0,
               in_context_tokens = 0, records = 0, skipped = 0, prompts = 0;
  std::vector<std::string> notes;
  std::string sandbox;  // of a code task
  std::int64_t base_parameters = 0, encoder_parameters = 0;
  at::Device device{at::kCPU};
  std::int64_t cache_bytes = 0;  // keys and values of the largest batch
  DecoderConfig base;
  std::vector<AdapterFacts> bank;
  std::string turns_left_out;  // of the corpus' chats
  std::string long_texts;      // what is said of texts beyond the encoder's length; empty: there are none
};

void check_bank(const RunConfig& config, const Decoder& decoder, Findings& found) {
  const Bank bank(configured_bank(config), decoder.modules(), compute_type(config), at::kCPU,
                  config.bank.memory.bytes, decoder.files());
  found.bank = bank.check_all(config.bank.memory.bytes);
  found.adapters = bank.size();
  const BankScores alone = scores_without_shots(bank.entries(), found.bank);
  found.notes = notes_on_bank(alone);
  const ExpertOptions experts = expert_options(config);
  for (const std::string& name : experts.names) {
    if (!find_entry(bank.entries(), name)) fail_data("experts.names: '{}' is not in the bank", name);
  }
  for (const std::string& note : {note_on_wrappers(bank.entries(), found.bank),
                                  note_on_prompts(bank.entries(), prompt_template(config))})
    if (!note.empty()) found.notes.push_back(note);
  const auto usable = std::ranges::count_if(alone.effect, [](std::uint8_t effect) { return effect != 0; });
  if (experts.names.empty() && experts.count > usable)
    fail_data(
        "experts.count is {}, but the bank holds {} adapters{}", experts.count, found.adapters,
        usable < found.adapters ? fmt::format(", {} of them without effect", found.adapters - usable) : "");
}

std::int64_t base_bytes(const RunConfig& config, const Findings& found) {
  return found.base_parameters * static_cast<std::int64_t>(c10::elementSize(compute_type(config)));
}

void check_base(const RunConfig& config, bool with_bank, Findings& found) {
  // On LibTorch's device without memory: the weights are looked through, and none is kept.
  const Decoder decoder = Decoder::load(config.base.path, compute_type(config), at::Device(at::kMeta));
  const DecoderConfig& base = decoder.config();
  found.base = base;
  found.base_parameters = ModelWeights(config.base.path).parameters();
  found.device = choose_device(config.device, 0);
  const CacheShape cache{.layers = base.layers,
                         .key_heads = base.kv_heads,
                         .head_dim = base.head_dim,
                         .type = compute_type(config),
                         .device = found.device};
  const Backend& backend = backend_for(cache.device, cache.type);
  const std::int64_t positions =
      std::max(config.scoring.batch_tokens, backend.cache_positions(cache, base_bytes(config, found)));
  found.cache_bytes = positions * backend.cache_bytes(cache);
  if (with_bank) check_bank(config, decoder, found);
}

void note_golds(const std::vector<Question>& questions, const std::string& file, Findings& found) {
  if (const std::string note = note_on_golds(questions, file); !note.empty()) found.notes.push_back(note);
}

/// How answers are read; of a code task also in which sandbox its programs run.
AnswerReader checked_reader(const RunConfig& config, Findings& found) {
  AnswerReader reader = answer_reader(config);
  if (reader.runs_programs()) found.sandbox = described(Sandbox::usable(reader.packages()));
  return reader;
}

/// What is read to answer a question: the prompt, and the choices behind it.
std::int64_t tokens_to_answer(const BaseText& text, const Question& question) {
  const ChoiceTokens choices = text.choices(question.record);
  if (choices.empty()) return static_cast<std::int64_t>(text.prompt(question.record).size());
  auto tokens = static_cast<std::int64_t>(choices.prompt.size());
  for (const auto& choice : choices.continuations) tokens += static_cast<std::int64_t>(choice.size());
  return tokens;
}

void note_chats(const BaseText& text, Findings& found) {
  if (const std::string note = text.about_chats(); !note.empty()) found.notes.push_back(note);
}

/// The shots as `score` reads them.
void check_scored_shots(const RunConfig& config, Findings& found) {
  const BaseText text(config);
  note_chats(text, found);
  const std::vector<Question> shots = read_shots(config, checked_reader(config, found));
  for (const Question& shot : shots) {
    ++found.shots;
    found.shot_tokens += static_cast<std::int64_t>(text.shot(shot.record).example.ids.size());
    found.prompt_tokens += tokens_to_answer(text, shot);
  }
  note_golds(shots, config.task.shots, found);
}

/// The shots as `rationalize` reads them: some may lack what a model is scored on.
void check_open_shots(const RunConfig& config, Findings& found) {
  const BaseText text(config);
  note_chats(text, found);
  for (const OpenShot& shot : read_open_shots(config, checked_reader(config, found))) {
    text.prompt(shot.question.record);
    ++found.shots;
  }
}

/// The shots as `embed` reads them: without answers.
void check_embedded_shots(const RunConfig& config, Findings& found) {
  const auto shots = read_shot_records(config);
  check_shot_count(config, shots.size());
  found.shots = config.task.k;
}

void check_items(const RunConfig& config, Findings& found) {
  const BaseText text(config);
  const std::vector<Question> items = read_evaluation(config, checked_reader(config, found));
  for (const Question& item : items) {
    found.item_tokens += tokens_to_answer(text, item);
    ++found.items;
  }
  if (any_in_context(config)) {
    for (const Question& item : read_evaluation(behind_examples(config), checked_reader(config, found)))
      found.in_context_tokens += tokens_to_answer(text, item);
  }
  note_golds(items, config.task.evaluation, found);
}

/// Tokenises what would be embedded of the records.
void count_lengths(const std::string& prefix, const EncoderTokenizer& tokenizer,
                   const std::vector<Record>& records, LongTextCount& lengths) {
  std::vector<std::uint8_t> is_long(records.size());
  on_threads(static_cast<std::int64_t>(records.size()), [&](std::int64_t i) {
    is_long[i] = tokenizer.tokens(embedded_text(prefix, records[i])).is_long;
  });
  for (std::size_t i = 0; i < records.size(); ++i) lengths.add(records[i].file, is_long[i] != 0);
}

void check_corpus_and_encoder(const RunConfig& config, Findings& found) {
  const EncoderTokenizer tokenizer = configured_encoder_tokenizer(config);
  // As the base: on the CPU the encoder would be read and packed.
  Encoder::load(config.encoder.path, read_pooling(config.encoder.path, config.encoder.pooling), at::kFloat,
                at::Device(at::kMeta), config.encoder.truncate_dim);
  const std::string prefix = encoder_prefix(config);
  if (config.encoder.prompt != "none")
    found.notes.push_back(
        fmt::format("encoder.prompt: {}: the encoder's own files put {} in front of every text",
                    config.encoder.prompt, prefix.empty() ? "nothing" : fmt::format("'{}'", prefix)));
  found.encoder_parameters = EncoderWeights(config.encoder.path).parameters();
  std::string first;
  CorpusReader corpus = open_corpus(config, [&](const SkippedRecord& skipped) {
    if (++found.skipped == 1) first = fmt::format("{}:{}: {}", skipped.file, skipped.line, skipped.reason);
  });
  LongTextCount lengths;
  std::vector<Record> block;
  for_each_task_record(config, config.task.shots,
                       [&](Record&& shot, const JsonValue&) { block.push_back(std::move(shot)); });
  block.resize(found.shots);
  count_lengths(prefix, tokenizer, block, lengths);
  do {
    block = corpus.block(found.records, records_per_block);
    count_lengths(prefix, tokenizer, block, lengths);
    found.records += static_cast<std::int64_t>(block.size());
  } while (!block.empty());
  found.long_texts = lengths.describe(tokenizer);
  require_records(config, found.records, first);
  std::ranges::move(notes_on_corpus(config, corpus), std::back_inserter(found.notes));
  found.turns_left_out = corpus.turns_left_out().describe("corpus.turns", config.corpus.turns);
}

/// " (corpus.limit)" behind a number that a limit has cut.
std::string limited(const char* key, const std::optional<std::int64_t>& limit, std::int64_t count) {
  return limit && *limit == count ? fmt::format(" ({})", key) : "";
}

/// Floating-point operations are 2 a parameter and token, of prompts too; generation is counted at its limit,
/// choices with their own tokens.
Table plan(const RunConfig& config, const std::vector<std::string>& jobs, const Findings& f) {
  const double pass = 2.0 * static_cast<double>(f.base_parameters);
  const double rows = static_cast<double>(f.adapters + 1);
  const bool generates = config.task.answer != "multiple_choice";
  const std::int64_t generated = generates ? config.scoring.max_new_tokens : 0;
  const double score_flops =
      pass * rows * static_cast<double>(f.shot_tokens + f.prompt_tokens + generated * f.shots);
  const std::int64_t most_records = std::min(f.records, config.selection.retrieve) + f.shots;
  const std::int64_t steps = config.training.epochs * ((most_records + config.training.global_batch - 1) /
                                                       config.training.global_batch);
  const RivalCount rivals = count_rivals(config);
  const std::int64_t systems = rivals.systems + 1;  // and the expert
  const double evaluate_flops =
      pass * static_cast<double>((systems - rivals.in_context) * f.item_tokens +
                                 rivals.in_context * f.in_context_tokens + systems * generated * f.items);
  const std::string training =
      fmt::format("up to {} examples, {} epochs", most_records, config.training.epochs);
  Table table{{"job", "work", "at most"}, {}};
  table.rows = {
      {"score", fmt::format("{} adapters and the base x {} shots", f.adapters, f.shots),
       fmt::format("{:.2e} flop", score_flops)},
      {"experts", fmt::format("{} of {} candidates", config.experts.count, config.experts.candidates), ""},
      {"embed",
       fmt::format("{} records{}{}, encoder of {} parameters", f.records,
                   limited("corpus.limit", config.corpus.limit, f.records),
                   f.skipped > 0 ? fmt::format(" ({} broken ones left out)", f.skipped) : "",
                   f.encoder_parameters),
       ""},
      {"select",
       fmt::format("{} nearest, policy {}", std::min(config.selection.retrieve, f.records),
                   config.selection.policy),
       ""},
      {"finetune", training, fmt::format("{} steps", steps)},
      {"evaluate",
       fmt::format("{} systems x {} items{}", systems, f.items,
                   limited("task.limit", config.task.limit, f.items)),
       fmt::format("{:.2e} flop", evaluate_flops)},
      {"export", "the mixture as PEFT folders", ""},
      {"rationalize", fmt::format("{} shots", f.shots), ""},
      {"generate", fmt::format("{} prompts by {}", f.prompts, config.generate.system), ""}};
  std::vector<std::vector<nlohmann::json>> trained;
  for (const std::string rival : tuned_rivals)
    trained.push_back(
        {job_of_rival(rival), rival == "lorahub" ? fmt::format("{} shots", f.shots) : training,
         rival == "lorahub" ? fmt::format("{} trials", kLoraHubTrials) : fmt::format("{} steps", steps)});
  const auto evaluate =
      std::ranges::find_if(table.rows, [](const auto& row) { return row[0] == "evaluate"; });
  table.rows.insert(evaluate, trained.begin(), trained.end());
  std::erase_if(table.rows,
                [&](const auto& row) { return !holds(jobs, row[0].template get<std::string>()); });
  return table;
}

/// What the bank takes in memory.
std::string about_bank(const Session& session, const Findings& f) {
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
  return text;
}

/// Bytes of the base and of the keys and values of a full batch.
std::string about_base(const Session& session, const Findings& f) {
  const RunConfig& config = session.config;
  return fmt::format("base: {} parameters, {} as {}; keys and values of a batch: {}; device: {}; ranks: {}\n",
                     f.base_parameters, size_text(base_bytes(config, f)), config.base.dtype,
                     size_text(f.cache_bytes), f.device.str(), session.comm.size());
}

/// What a training step takes on each rank's GPU, with the largest adapters of the bank as experts. An
/// estimate: logits, routers and what an allocator rounds up are not in it, up to 8 % on the emulated device.
std::string about_training(const RunConfig& config, const Findings& f) {
  std::int64_t largest = 0;
  for (const AdapterFacts& adapter : f.bank) largest = std::max(largest, adapter.bytes);
  const auto bytes_of_value = static_cast<std::int64_t>(c10::elementSize(compute_type(config)));
  const auto memory_with = [&](bool recompute) {
    return training_memory(f.base, {.base_parameters = f.base_parameters,
                                    .mixture_parameters = config.experts.count * largest / bytes_of_value,
                                    .bytes_of_value = bytes_of_value,
                                    .tokens = config.training.micro_batch_tokens,
                                    .recompute_layers = recompute});
  };
  const bool recompute = config.training.recompute == "layer";
  const TrainingMemory memory = memory_with(recompute);
  std::string text = fmt::format(
      "training on a GPU: about {}: base {}, experts with gradients and moments {}, {} tokens a micro-batch "
      "{}",
      size_text(memory.all()), size_text(memory.base), size_text(memory.mixture),
      config.training.micro_batch_tokens, size_text(memory.activations));
  if (!recompute)
    text += fmt::format(" ({} with training.recompute: layer)", size_text(memory_with(true).activations));
  return text + "\n";
}

/// Reads all that these jobs read.
Findings look_through(const RunConfig& config, const std::vector<std::string>& jobs) {
  const std::vector<Input> inputs = inputs_of(jobs);
  const auto reads = [&](Input input) { return std::ranges::find(inputs, input) != inputs.end(); };
  Findings found;
  if (reads(Input::base)) check_base(config, reads(Input::bank), found);
  if (holds(jobs, "score")) {
    check_scored_shots(config, found);
  } else if (holds(jobs, "rationalize")) {
    check_open_shots(config, found);
  } else if (reads(Input::shots)) {
    check_embedded_shots(config, found);
  }
  if (holds(jobs, "evaluate")) {
    check_items(config, found);
  } else if (reads(Input::evaluation)) {
    for_each_task_record(config, config.task.evaluation, [](const Record&, const JsonValue&) {});
  }
  if (reads(Input::encoder)) check_corpus_and_encoder(config, found);
  if (holds(jobs, "generate")) {
    input_files(job_spec("generate"), config);  // is there such a system?
    found.prompts = count_prompts(config);
  }
  return found;
}

/// Root only. What these jobs would do, and notes.
std::string check_jobs(const Session& session, const std::vector<std::string>& jobs) {
  Findings found = look_through(session.config, jobs);
  std::string text = render(plan(session.config, jobs, found), TableFormat::text) + "\n";
  if (!found.bank.empty()) text += about_bank(session, found);
  if (!found.long_texts.empty()) text += "encoder: " + found.long_texts + "\n";
  if (found.base_parameters > 0) text += about_base(session, found);
  if (holds(jobs, "finetune") && !found.bank.empty()) text += about_training(session.config, found);
  if (!found.turns_left_out.empty()) found.notes.push_back("corpus: " + found.turns_left_out);
  if (const std::string note = note_on_power(found.items, count_rivals(session.config).systems + 1);
      found.items > 0 && !note.empty())
    found.notes.push_back("evaluate: " + note);
  if (!found.sandbox.empty())
    found.notes.push_back(fmt::format("code tasks: programs run in {}", found.sandbox));
  for (const std::string& note : found.notes) text += fmt::format("note: {}\n", note);
  return text;
}

/// Root only. What train-adapter would do.
std::string check_adapter(const RunConfig& config) {
  const AdapterPlan plan = check_train_adapter(config);
  const double flops = 6.0 * static_cast<double>(ModelWeights(config.base.path).parameters()) *
                       static_cast<double>(plan.tokens) * static_cast<double>(config.training.epochs);
  Table table{{"job", "work", "at most"}, {}};
  table.rows = {
      {"train-adapter",
       fmt::format("adapter {}: {} parameters, {} of {} records, {} epochs, {} steps", config.adapter.name,
                   plan.parameters, plan.examples, plan.records, config.training.epochs, plan.steps),
       fmt::format("{:.2e} flop", flops)}};
  return render(table, TableFormat::text);
}

bool reads_chain(const RunConfig& config) {
  const auto& bank = config.bank.adapters;
  const bool has_bank = !bank.one.empty() || !bank.list.empty();
  const bool has_task = !config.task.shots.empty() || !config.task.evaluation.empty();
  return config.adapter.records.empty() || has_bank || has_task;
}

}  // namespace

std::vector<std::string> checked_jobs(const RunConfig& config, const std::string& one_job) {
  if (!one_job.empty()) return jobs_up_to(one_job, config);
  std::vector<std::string> jobs;
  for (const JobSpec& spec : job_specs())
    if (is_in_chain(spec, config) && reads_chain(config)) jobs.push_back(spec.name);
  if (!config.adapter.records.empty()) jobs.push_back(kTrainAdapter);
  return jobs;
}

void check(Session& session, std::vector<std::string> jobs) {
  on_root(session.comm, [&] {
    require_paths(session.config, inputs_of(jobs));
    const bool trains_adapter = std::erase(jobs, kTrainAdapter) > 0;
    for (const char* written : {"", "parts", "events"}) require_writable(session.run.file(written));
    std::string text =
        fmt::format("{}: everything that the jobs will read is there and valid\n", session.config_file);
    if (!jobs.empty()) text += fmt::format("\n{}", check_jobs(session, jobs));
    if (trains_adapter) text += fmt::format("\n{}", check_adapter(session.config));
    print_result(text);
  });
}

}  // namespace rocket
