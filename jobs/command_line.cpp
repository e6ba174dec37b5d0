#include "command_line.h"

#include <dlfcn.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/device_names.h"
#include "base/error.h"
#include "base/nearest.h"

namespace rocket {

namespace {

std::string version_text(bool as_json) {
  void* library = dlopen("librocket_version.so", RTLD_NOW | RTLD_LOCAL);
  void* text = library != nullptr ? dlsym(library, "rocket_version_text") : nullptr;
  return text != nullptr ? reinterpret_cast<const char* (*)(bool)>(text)(as_json) : dlerror();
}

struct JobHelp {
  const char* name;
  const char* help;
};

constexpr JobHelp config_jobs[] = {
    {"run", "The whole chain; does only what is missing, then prints the result table"},
    {"check", "Validate everything and print the plan; writes nothing"},
    {"plan", "Print the commands of the chain, and after which others each can start; writes nothing"},
    {"score", "Score every adapter of the bank on the shots (over ranks)"},
    {"experts", "Choose the experts from the scores (Algorithm 1)"},
    {"embed", "Embed the corpus and the shots (over ranks)"},
    {"select", "Choose the training records from the embeddings (Algorithm 2)"},
    {"finetune", "Fine-tune the mixture of the chosen experts (over ranks)"},
    {"rivals", "Train those of evaluation.rivals that are trained (over ranks)"},
    {"evaluate", "Evaluate the expert and its rivals (over ranks)"},
    {"export", "Write the expert in forms that others can load"},
    {"report", "Write report.html from what there is"},
    {"generate", "Answer files of prompts by the expert or any other system (over ranks)"},
    {"rationalize",
     "Write rationales for shots that lack them, kept only if their answer is right (over ranks)"},
    {"train-adapter", "Train one LoRA on adapter.records, as a PEFT folder for a bank (over ranks)"},
};

/// CONFIG, --set, --fresh: what every job of a run takes.
void add_config_options(CLI::App& app, Command& command) {
  app.add_option("CONFIG", command.target, "Configuration file (YAML)")->required();
  app.add_option("--set", command.set, "Override a setting: path.to.key=value (YAML); may be given again")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void add_voice(CLI::App& app, Command& command) {
  auto* quiet = app.add_flag("--quiet", command.quiet, "Only warnings and errors on stderr");
  app.add_flag("--verbose", command.verbose, "More on stderr")->excludes(quiet);
}

/// A flag that is short for `--set key=VALUE`.
template <class T>
CLI::Option* add_short_setting(CLI::App& app, Command& command, const char* flag, const char* key,
                               const char* help) {
  return app.add_option_function<T>(
      flag,
      [&command, key](const T& value) {
        command.set.push_back(fmt::format("{}={}", key, nlohmann::json(value).dump()));
      },
      fmt::format("{} ({})", help, key));
}

void add_generate(CLI::App& app, Command& command) {
  add_short_setting<std::vector<std::string>>(app, command, "--input", "generate.input",
                                              "Prompts: records, chats, or {\"prompt\": TEXT}; globs")
      ->type_name("FILE");
  add_short_setting<std::string>(app, command, "--output", "generate.output",
                                 "The prompts with their answers, as JSONL")
      ->type_name("FILE");
  add_short_setting<std::string>(
      app, command, "--system", "generate.system",
      "What answers: expert, a name of evaluation.rivals, or an adapter of the bank")
      ->type_name("NAME");
  add_short_setting<double>(app, command, "--temperature", "generate.temperature",
                            "Above 0: tokens are drawn, as a function of seed, prompt and position")
      ->type_name("T");
  add_short_setting<double>(app, command, "--top-p", "generate.top_p",
                            "Drawn from the likeliest tokens whose probabilities sum to this")
      ->type_name("P");
  add_short_setting<std::uint64_t>(app, command, "--seed", "generate.seed",
                                   "Of the draws; default: the setting seed")
      ->type_name("N");
  add_short_setting<std::int64_t>(app, command, "--max-new-tokens", "generate.max_new_tokens",
                                  "Bound on an answer; default: scoring.max_new_tokens")
      ->type_name("N");
  add_short_setting<std::vector<std::string>>(
      app, command, "--stop", "generate.stop",
      "A string that ends an answer; may be given again; default: task.stop")
      ->type_name("TEXT")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_flag_callback(
      "--logprobs", [&command] { command.set.push_back("generate.logprobs=true"); },
      "Add the log-probability of each new token (generate.logprobs)");
}

void add_config_job(CLI::App& app, Command& command, const JobHelp& job) {
  CLI::App* sub = app.add_subcommand(job.name, job.help);
  add_config_options(*sub, command);
  const std::string name = job.name;
  if (name == "run") {
    sub->add_flag("--fresh", command.fresh,
                  "Compute again what no longer fits the settings and inputs; keep the rest");
  } else if (name != "check" && name != "plan" && name != "report") {
    sub->add_flag("--fresh", command.fresh, "Discard this job's own output first");
  }
  if (name == "export") {
    sub->add_option("--as", command.form, "What to write")
        ->check(CLI::IsMember({"mixture", "experts", "merged_lora", "merged_model"}))
        ->capture_default_str();
    sub->add_option("--to", command.folder, "Folder to write to (default: RUN/expert, RUN/expert/<form>)")
        ->type_name("DIR");
  }
  if (name == "generate") add_generate(*sub, command);
  if (name == "plan")
    sub->add_option("--format", command.format, "text, json or csv")
        ->check(CLI::IsMember({"text", "json", "csv"}))
        ->capture_default_str();
  if (name == "check")
    sub->add_option("--job", command.one_job, "Check what this job reads, and only that")->type_name("JOB");
  add_voice(*sub, command);
}

void add_inspect(CLI::App& app, Command& command) {
  CLI::App* sub =
      app.add_subcommand("inspect", "Look at a run directory, an adapter folder or a model folder");
  sub->add_option("RUN", command.target, "Run directory, adapter folder or model folder")->required();
  sub->add_option(
      "TABLE", command.table,
      "scores, shots, similarity, experts, selection, training, adapter_training, rates (what "
      "evaluation.tune "
      "found), evaluation, comparison "
      "(which differences between systems are beyond chance), items, costs (tokens and seconds of each "
      "answer) or jobs");
  sub->add_option("--base", command.base, "Base that an adapter folder is checked against")->type_name("DIR");
  sub->add_option("--format", command.format, "text, json or csv")
      ->check(CLI::IsMember({"text", "json", "csv"}))
      ->capture_default_str();
}

void add_sweep(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("sweep", "Run one configuration at many points");
  sub->add_option("SWEEP", command.target, "Sweep file (YAML)")->required();
  sub->add_option(
         "ACTION", command.action,
         "list, run, table, comparison (of the systems of each point; points that differ in the seed "
         "alone are runs of one), or snapshot: copy SWEEP and its configuration into a folder")
      ->required()
      ->check(CLI::IsMember({"list", "run", "table", "comparison", "snapshot"}));
  sub->add_option("--point", command.point,
                  "run: this point only, from 0 (default: SLURM_ARRAY_TASK_ID, else all)")
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--format", command.format, "text, json or csv")
      ->check(CLI::IsMember({"text", "json", "csv"}))
      ->capture_default_str();
  sub->add_flag("--fresh", command.fresh, "Compute again what no longer fits the settings and inputs");
  sub->add_option("--to", command.folder, "snapshot: the folder")->type_name("DIR");
  add_voice(*sub, command);
}

void add_tokenize(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand(
      "tokenize", "JSON strings on stdin, one a line -> JSON arrays of token ids on stdout");
  sub->add_option("MODEL", command.target, "Model folder with a tokenizer")->required();
  auto* plain = sub->add_flag("--plain", command.plain, "Without the specials that the tokenizer adds");
  sub->add_flag("--decode", command.decode, "The other way: JSON arrays of ids -> JSON strings")
      ->excludes(plain);
}

void add_extract(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand(
      "extract",
      "Try how answers are read: JSON strings on stdin, one a line -> {\"found\", \"rule\"} on stdout");
  sub->footer("Rules and examples: configs/answers.md.");
  ExtractRequest& to = command.extract;
  sub->add_option("--answer", to.answer, "How answers are read, as task.answer")
      ->required()
      ->check(CLI::IsMember({"choice", "boolean", "number", "exact", "regex", "code"}));
  sub->add_option("--pattern", to.pattern, "For regex: a pattern with one group")->type_name("PATTERN");
  sub->add_option("--take", to.take, "For regex: which match")
      ->check(CLI::IsMember({"first", "last"}))
      ->capture_default_str();
  const auto words = [&](const char* flag, std::vector<std::string>& list, const char* help) {
    sub->add_option(flag, list, help)
        ->type_name("WORD")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  };
  words("--yes-word", to.yes_words, "For boolean: one more word for yes; may be given again");
  words("--no-word", to.no_words, "For boolean: one more word for no; may be given again");
}

void add_chat(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("chat",
                                     "Try the chat template of a model: lists of messages on stdin, one a "
                                     "line as JSON -> {\"text\", \"ids\"} on "
                                     "stdout, or {\"error\"} where the template refuses one");
  sub->footer(
      "A line may be an object: {\"messages\": [...], \"add_generation_prompt\": false, \"tools\": [...], "
      "...}. This is "
      "what prompt.template: chat uses.");
  sub->add_option("MODEL", command.chat.model, "Model folder with a tokenizer")->required();
  sub->add_option("--date", command.chat.date, "The day that templates with a date write, as prompt.date")
      ->type_name("YYYY-MM-DD");
}

std::string refuse_threshold(const std::string& text) {
  double value = 0;
  return CLI::detail::lexical_cast(text, value) && value > -1 && value <= 1
             ? ""
             : "expected a cosine in (-1, 1], found " + text;
}

void add_dedup(CLI::App& app, Command& command) {
  CLI::App* sub =
      app.add_subcommand("dedup", "Keep one of each group of records whose embeddings are near (over ranks)");
  DedupRequest& to = command.dedup;
  sub->footer("Nothing is kept between two calls: a call that is stopped leaves no output and starts anew.");
  sub->add_option("FILES", to.files, "Records: JSON, JSONL, packed ones, Parquet or Arrow; globs")
      ->required();
  sub->add_option("--encoder", to.encoder, "Sentence encoder in Hugging Face form")
      ->required()
      ->type_name("DIR");
  sub->add_option("--threshold", to.threshold,
                  "A record whose cosine with a kept one is above this is dropped")
      ->check(CLI::Validator(refuse_threshold, "COSINE"))
      ->type_name("")
      ->capture_default_str();
  sub->add_option("--keep", to.keep,
                  "Who stands: first (in order of the files) or longest (text; ties: first)")
      ->check(CLI::IsMember({"first", "longest"}))
      ->capture_default_str();
  sub->add_option("--output", to.output, "Kept records as JSONL, in order of the files (default: stdout)")
      ->type_name("FILE");
  sub->add_option("--dropped", to.dropped, "Who was dropped because of whom, as JSONL")->type_name("FILE");
  sub->add_option("--field", to.fields, "Their name of a field: instruction=question; may be given again")
      ->type_name("OURS=THEIRS")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  sub->add_option(
         "--text", to.text,
         "What is compared: whole (all turns of a chat; instruction, input, output, rationale), question "
         "(without answers; of a chat the first question) or labelled (as `rocket embed` has it)")
      ->check(CLI::IsMember({"whole", "question", "labelled"}))
      ->capture_default_str();
  sub->add_option("--prefix", to.prefix, "In front of every text (default: nothing)")->type_name("TEXT");
  sub->add_option("--max-length", to.max_length, "Tokens of a text (default: as encoder.max_length)")
      ->check(CLI::Range(3, 1 << 30))
      ->type_name("TOKENS");
  sub->add_option("--long", to.long_texts, "As encoder.long, for texts beyond that length")
      ->check(CLI::IsMember({"cut", "head_tail", "windows"}))
      ->capture_default_str();
  sub->add_option("--pooling", to.pooling,
                  "auto, cls, lasttoken, mean, mean_sqrt_len_tokens, weightedmean or max (default: auto)")
      ->check(
          CLI::IsMember({"auto", "cls", "lasttoken", "mean", "mean_sqrt_len_tokens", "weightedmean", "max"}))
      ->type_name("");
  sub->add_option("--device", to.device, "auto, cpu or cuda (default: auto)")
      ->check(CLI::IsMember(device_names()))
      ->type_name("");
  add_voice(*sub, command);
}

/// "rocket: unknown command 'scoer': did you mean 'score'?"; where that is what is wrong.
std::optional<std::string> unknown_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return std::nullopt;
  std::vector<std::string> known;
  for (const CLI::App* sub : app.get_subcommands({})) known.push_back(sub->get_name());
  if (std::find(known.begin(), known.end(), argv[1]) != known.end()) return std::nullopt;
  return fmt::format("rocket: unknown command '{}': did you mean '{}'? `rocket --help` lists all", argv[1],
                     nearest(argv[1], known));
}

/// The same of a flag of a known command.
std::optional<std::string> unknown_flag(const CLI::App& app) {
  for (const CLI::App* sub : app.get_subcommands()) {
    std::vector<std::string> known;
    for (const CLI::Option* option : sub->get_options())
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    for (const std::string& extra : sub->remaining()) {
      const std::string flag = extra.substr(0, extra.find('='));
      if (flag.starts_with("--") && flag.size() > 2)
        return fmt::format(
            "rocket: unknown flag '{}' of '{}': did you mean '{}'? `rocket {} --help` lists all", flag,
            sub->get_name(), nearest(flag, known), sub->get_name());
    }
  }
  return std::nullopt;
}

}  // namespace

std::unique_ptr<CLI::App> command_line_of(Command& command) {
  auto whole = std::make_unique<CLI::App>(
      "rocket turns a handful of verified examples into a task expert: it scores a bank of LoRA adapters, "
      "picks\n"
      "experts and training records, joins the experts in a token-routed mixture and fine-tunes them.");
  CLI::App& app = *whole;
  app.name("rocket");
  app.require_subcommand(1);
  auto* json = app.add_flag("--json", command.json, "--version as JSON");  // read by --version: stands first
  json->needs(app.set_version_flag("--version", [&command] { return version_text(command.json); }));
  app.footer(
      "The same command again resumes. Exit codes: 0 done, 64 usage, 65 data, 70 internal, 74 storage, 75 "
      "stopped\n"
      "after a good checkpoint (requeue), 78 configuration.");
  for (const JobHelp& job : config_jobs) add_config_job(app, command, job);
  add_sweep(app, command);
  add_inspect(app, command);
  add_tokenize(app, command);
  add_extract(app, command);
  add_chat(app, command);
  add_dedup(app, command);
  return whole;
}

ParsedLine parse_command_line(int argc, char** argv) {
  Command command;
  const std::unique_ptr<CLI::App> whole = command_line_of(command);
  CLI::App& app = *whole;
  const auto refuse = [](const std::string& message) {
    std::cerr << message << '\n';
    return ParsedLine{std::nullopt, static_cast<int>(ExitCode::usage)};
  };
  if (const auto message = unknown_command(app, argc, argv)) return refuse(*message);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError& e) {
    return refuse(unknown_flag(app).value_or(fmt::format("rocket: {} (`--help` lists all)", e.what())));
  } catch (const CLI::ParseError& e) {
    const bool asked = e.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success);
    app.exit(e, std::cout, std::cerr);
    if (asked && !std::cout.flush()) {
      std::cerr << "rocket: cannot write to stdout\n";
      return {std::nullopt, static_cast<int>(ExitCode::storage)};
    }
    return {std::nullopt, asked ? 0 : static_cast<int>(ExitCode::usage)};
  }
  command.job = app.get_subcommands().front()->get_name();
  return {command, 0};
}

}  // namespace rocket
