#include "pipeline/job_spec.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "adapters/bank.h"
#include "base/error.h"
#include "base/nearest.h"
#include "formats/encoder_weights.h"
#include "pipeline/options.h"
#include "text/record.h"

namespace rocket {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kRivalJob = "rival-";
const std::string kRivalsCommand = "rivals";

std::vector<JobSpec> make_job_specs() {
  const std::vector<std::string> training = {
      "training.learning_rate",      "training.epochs",       "training.global_batch",
      "training.micro_batch_tokens", "training.cutoff",       "training.warmup",
      "training.schedule",           "training.weight_decay", "training.clip",
      "training.lora_dropout",       "training.reduction",    "seed"};
  const std::vector<std::string> form = {"task.prompt", "task.choices", "task.labels",
                                         "task.gold",   "task.target",  "task.delimiter"};
  const auto with = [](std::vector<std::string> settings, const std::vector<std::string>& more) {
    settings.insert(settings.end(), more.begin(), more.end());
    return settings;
  };
  const std::vector<std::string> answer =
      with({"task.description", "task.fields", "task.turns", "task.answer", "task.pattern", "task.take",
            "task.ignore_case", "task.ignore_punctuation", "task.ignore_patterns", "task.filter",
            "task.gold_filter", "task.stop", "task.yes_words", "task.no_words", "task.packages"},
           form);
  const std::vector<std::string> mixture_training =
      with({"prompt", "mixture", "training.balance_coefficient", "training.z_coefficient", "evaluation.tune"},
           training);
  std::vector<JobSpec> specs = {
      {"score",
       3,
       with({"base.dtype", "bank.exclude", "task.k", "prompt", "scoring"}, answer),
       {Input::base, Input::bank, Input::shots},
       {},
       {"score.h5"}},
      {.name = "experts",
       .settings = {"experts", "seed"},
       .upstream = {"score"},
       .outputs = {"experts.json"},
       .on_device = false},
      {"embed",
       6,
       with({"task.k", "task.fields", "task.turns", "corpus.fields", "corpus.turns", "corpus.on_error",
             "corpus.limit", "encoder.pooling", "encoder.prefix", "encoder.prompt", "encoder.max_length",
             "encoder.long", "encoder.dtype", "encoder.store", "encoder.truncate_dim"},
            form),
       {Input::encoder, Input::corpus, Input::shots},
       {},
       {"embed.h5"},
       {"skipped.jsonl"},
       true,
       true},
      {.name = "select",
       .version = 4,
       .settings = with({"task.fields", "task.turns", "selection", "seed"}, form),
       .inputs = {Input::evaluation},
       .upstream = {"embed"},
       .outputs = {"select.h5", "selected.jsonl"},
       .on_device = false},
      {.name = "finetune",
       .version = 2,
       .settings = with({"training.trained"}, mixture_training),
       .upstream = {"experts", "select"},
       .outputs = {"training.h5", "checkpoints"},
       .may_leave = {"rates.h5", "rates"},
       .sums_gradients = true},
      {.name = "evaluate",
       .version = 4,
       .settings = with({"task.limit", "task.fewshot", "task.fewshot_draw", "scoring.max_new_tokens",
                         "scoring.batch_tokens", "evaluation"},
                        answer),
       .inputs = {Input::evaluation, Input::shots},
       .upstream = {"finetune"},
       .outputs = {"evaluate.h5", "evaluate_seconds.h5"},
       .reads_rivals = true},
      {.name = "export", .upstream = {"finetune"}, .outputs = {"expert"}, .on_device = false},
      {.name = "train-adapter",
       .version = 2,
       .settings =
           with({"base.dtype", "prompt", "adapter.fields", "adapter.turns", "adapter.on_error",
                 "adapter.name", "adapter.rank", "adapter.alpha", "adapter.scaling", "adapter.targets"},
                training),
       .inputs = {Input::base, Input::adapter_records},
       .outputs = {"adapter", "adapter_training.h5", "adapter_checkpoints"},
       .in_chain = false,
       .shared_folder = "adapter",
       .sums_gradients = true},
      {.name = "rationalize",
       .version = 3,
       .settings = with(
           {"base.dtype", "prompt", "scoring.max_new_tokens", "scoring.batch_tokens", "rationalize.hint"},
           answer),
       .inputs = {Input::base, Input::shots, Input::rationalizer},
       .outputs = {"rationalized.jsonl"},
       .in_chain = false},
      {.name = "generate",
       .settings = with({"base.dtype",
                         "prompt",
                         "scoring.max_new_tokens",
                         "scoring.batch_tokens",
                         "task.description",
                         "task.k",
                         "task.fields",
                         "task.turns",
                         "task.stop",
                         "task.fewshot",
                         "task.fewshot_draw",
                         "mixture",
                         "evaluation.in_context",
                         "evaluation.ties_density",
                         "evaluation.dare_drop",
                         "generate.system",
                         "generate.fields",
                         "generate.max_new_tokens",
                         "generate.stop",
                         "generate.temperature",
                         "generate.top_p",
                         "generate.seed",
                         "generate.logprobs",
                         "seed"},
                        form),
       .inputs = {Input::base, Input::prompts, Input::system},
       .in_chain = false,
       .reads_system = true,
       .in_manifest = false},
  };
  const auto rival_spec = [&](const std::string& rival) {
    const std::string folder = "rivals/" + rival + "/";
    if (rival == "lorahub")
      return JobSpec{.name = job_of_rival(rival),
                     .settings = {"prompt"},
                     .upstream = {"experts"},
                     .outputs = {folder + "weights.h5"},
                     .in_chain = false,
                     .rival = rival};
    const std::vector<std::string> scale = {"adapter.rank", "adapter.alpha", "adapter.scaling"};
    return JobSpec{.name = job_of_rival(rival),
                   .settings = rival == "task_lora" ? with(scale, mixture_training) : mixture_training,
                   .upstream = {"experts", "select"},
                   .outputs = {folder + "training.h5", folder + "checkpoints"},
                   .may_leave = {folder + "rates.h5", folder + "rates"},
                   .in_chain = false,
                   .rival = rival,
                   .sums_gradients = true};
  };
  std::vector<JobSpec> rivals;
  for (const std::string rival : tuned_rivals) rivals.push_back(rival_spec(rival));
  const auto evaluate = std::ranges::find(specs, "evaluate", &JobSpec::name);
  specs.insert(evaluate, rivals.begin(), rivals.end());
  return specs;
}

}  // namespace

const std::vector<JobSpec>& job_specs() {
  static const std::vector<JobSpec> specs = make_job_specs();
  return specs;
}

std::vector<std::string> JobSpec::all_outputs() const {
  std::vector<std::string> all = outputs;
  all.insert(all.end(), may_leave.begin(), may_leave.end());
  return all;
}

const std::string& JobSpec::command() const {
  return rival.empty() ? name : kRivalsCommand;
}

std::string job_of_rival(const std::string& rival) {
  return std::string(kRivalJob) + rival;
}

bool is_in_chain(const JobSpec& spec, const RunConfig& config) {
  return spec.rival.empty() ? spec.in_chain : std::ranges::count(config.evaluation.rivals, spec.rival) > 0;
}

namespace {

bool is_rival(const std::string& system) {
  return std::ranges::count(rival_names(), system) > 0;
}

/// The jobs whose results make what answers in `generate`.
std::vector<std::string> jobs_of_system(const std::string& system) {
  if (system == "expert") return {"finetune"};
  if (std::ranges::count(tuned_rivals, system) > 0) return {job_of_rival(system)};
  if (system == "best_single" || system == "best_single_in_context") return {"score"};
  if (system == "base" || system == "in_context" || !is_rival(system)) return {};
  return {"experts"};
}

}  // namespace

std::vector<std::string> upstream_of(const JobSpec& spec, const RunConfig& config) {
  std::vector<std::string> jobs = spec.upstream;
  if (spec.reads_system) return jobs_of_system(config.generate.system);
  if (!spec.reads_rivals) return jobs;
  for (const JobSpec& other : job_specs())
    if (!other.rival.empty() && is_in_chain(other, config)) jobs.push_back(other.name);
  return jobs;
}

const JobSpec& job_spec(const std::string& name) {
  const auto& specs = job_specs();
  const auto found =
      std::find_if(specs.begin(), specs.end(), [&](const JobSpec& s) { return s.name == name; });
  if (found == specs.end()) fail_internal("no job is called '{}'", name);
  return *found;
}

const JobSpec& job_that_leaves(const std::string& output) {
  for (const JobSpec& spec : job_specs()) {
    if (std::ranges::count(spec.all_outputs(), output) > 0) return spec;
  }
  fail_internal("no job leaves '{}'", output);
}

std::vector<std::string> jobs_up_to(const std::string& command, const RunConfig& config) {
  std::vector<std::string> known, commands, wanted;
  for (const JobSpec& spec : job_specs()) {
    known.push_back(spec.name);
    commands.push_back(spec.command());
    const bool asked = spec.rival.empty() || is_in_chain(spec, config);
    if (spec.command() == command && asked) wanted.push_back(spec.name);
  }
  if (std::ranges::find(commands, command) == commands.end())
    fail(ExitCode::usage, "no job is called '{}': did you mean '{}'?", command, nearest(command, commands));
  for (std::size_t i = 0; i < wanted.size(); ++i)
    std::ranges::copy(upstream_of(job_spec(wanted[i]), config), std::back_inserter(wanted));
  std::erase_if(known,
                [&](const std::string& job) { return std::ranges::find(wanted, job) == wanted.end(); });
  return known;
}

std::vector<Input> inputs_of(const std::vector<std::string>& jobs) {
  std::vector<Input> inputs;
  for (const std::string& job : jobs)
    for (const Input input : job_spec(job).inputs)
      if (std::ranges::find(inputs, input) == inputs.end()) inputs.push_back(input);
  return inputs;
}

namespace {

/// The files of a model folder that its readers may open: configuration, tokenizer, weights.
void add_model_folder(const std::string& label, const fs::path& folder, std::vector<InputFile>& files) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const std::string extension = entry.path().extension().string();
    const bool pickled = pickled_weights(entry.path().parent_path()) == entry.path();
    if (!pickled && extension != ".json" && extension != ".safetensors" && extension != ".txt" &&
        extension != ".model" && extension != ".jinja")
      continue;
    const std::string name = entry.path().lexically_relative(folder).string();
    if (name.starts_with('.') || name.find("/.") != std::string::npos) continue;
    files.push_back({label + "/" + name, entry.path()});
  }
}

void add_adapter(const std::string& label, const fs::path& folder, std::vector<InputFile>& files) {
  for (const char* name : {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"}) {
    if (fs::exists(folder / name)) files.push_back({label + "/" + name, folder / name});
  }
}

void add_bank(const RunConfig& config, std::vector<InputFile>& files) {
  for (const BankEntry& entry : configured_bank(config))
    add_adapter("bank.adapters/" + entry.name, entry.folder, files);
}

void add_records(const std::string& key, const std::vector<std::string>& patterns,
                 std::vector<InputFile>& files) {
  const auto paths = expand_globs(patterns);
  for (std::size_t i = 0; i < paths.size(); ++i) files.push_back({fmt::format("{}/{}", key, i), paths[i]});
}

/// An adapter of the bank, and the shots where examples stand in front of the prompts.
void add_system(const RunConfig& config, std::vector<InputFile>& files) {
  const std::string& name = config.generate.system;
  if (name != "expert" && !is_rival(name))
    add_adapter("generate.system", system_of_bank(config).folder, files);
  if (config.task.fewshot > 0 || name.ends_with("in_context"))
    files.push_back({"task.shots", config.task.shots});
}

void add_input(Input input, const RunConfig& config, std::vector<InputFile>& files) {
  switch (input) {
    case Input::base:
      return add_model_folder("base.path", config.base.path, files);
    case Input::encoder:
      return add_model_folder("encoder.path", config.encoder.path, files);
    case Input::bank:
      return add_bank(config, files);
    case Input::shots:
      files.push_back({"task.shots", config.task.shots});
      return;
    case Input::evaluation:
      files.push_back({"task.evaluation", config.task.evaluation});
      return;
    case Input::corpus:
      return add_records("corpus.records", config.corpus.records, files);
    case Input::rationalizer:
      if (!config.rationalize.adapter.empty())
        add_adapter("rationalize.adapter", config.rationalize.adapter, files);
      return;
    case Input::adapter_records:
      return add_records("adapter.records", config.adapter.records, files);
    case Input::prompts:
      return add_records("generate.input", config.generate.input, files);
    case Input::system:
      return add_system(config, files);
  }
}

}  // namespace

std::vector<InputFile> input_files(const JobSpec& spec, const RunConfig& config) {
  std::vector<InputFile> files;
  for (const Input input : spec.inputs) add_input(input, config, files);
  std::sort(files.begin(), files.end(),
            [](const InputFile& a, const InputFile& b) { return a.label < b.label; });
  return files;
}

}  // namespace rocket
