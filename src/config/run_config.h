// The configuration of a run: one strict YAML file, `--set` overrides, and nothing else.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rocket {

namespace fs = std::filesystem;

/// ours -> theirs: "question" is where a file of others keeps our "instruction".
using FieldMap = std::map<std::string, std::string>;

/// One text, or a list of texts. Both empty: not set.
struct OneOrList {
  std::string one;
  std::vector<std::string> list;
};

/// `prompt.template`: the name of a known template, or (name empty) its two forms.
struct TemplateChoice {
  std::string name = "alpaca";
  std::string with_input, without_input;
};

/// `task.fewshot_draw`: first, or the seed of a draw.
struct FewshotDraw {
  std::optional<std::uint64_t> seed;
};

/// `task.filter`: which match of a pattern, and what of it. No pattern: not set.
struct FilterChoice {
  std::string pattern;
  std::optional<std::int64_t> group;
  std::string take = "first";
};

/// A number of bytes, written as 4GiB in the file.
struct ByteSize {
  std::int64_t bytes = 0;
};

/// Every setting with its default. Settings with a fixed set of values are text here, checked to be one of
/// them. Paths stay as written; an empty path is not set. What each means: settings.cpp,
/// configs/defaults.yaml.
struct RunConfig {
  std::string run;
  std::uint64_t seed = 0;
  std::string device = "auto";

  struct Base {
    std::string path;
    std::string dtype = "float32";
  } base;

  struct Bank {
    OneOrList adapters;  // one folder of adapter folders, or the adapter folders themselves
    std::vector<std::string> exclude;
    ByteSize memory{std::int64_t{4} << 30};
  } bank;

  struct Task {
    std::string name = "task";
    std::string use;  // empty once the configuration is loaded: the file's settings have taken its place
    std::string shots, evaluation;
    std::int64_t k = 50;
    std::optional<std::string> prompt, description, target;
    OneOrList choices, labels;
    std::optional<std::string> gold;
    std::string delimiter = " ";
    std::int64_t fewshot = 0;
    FewshotDraw fewshot_draw;
    std::string answer = "number";
    std::optional<std::string> pattern;
    std::string take = "first";
    bool ignore_case = false, ignore_punctuation = false;
    std::vector<std::string> ignore_patterns;
    FilterChoice filter, gold_filter;
    std::vector<std::string> stop;
    FieldMap fields;
    std::string turns = "first";
    std::optional<std::int64_t> limit;
    std::vector<std::string> yes_words, no_words, packages;
  } task;

  struct Prompt {
    TemplateChoice choice;
    std::optional<std::string> system, date;
  } prompt;

  struct Corpus {
    std::vector<std::string> records;
    FieldMap fields;
    std::string turns = "first";
    std::string on_error = "stop";
    std::optional<std::int64_t> limit;
  } corpus;

  struct Encoder {
    std::string path;
    std::string pooling = "auto";
    std::string prefix = "Represent the following sentence for similar task retrieval: ";
    std::string prompt = "none";
    std::int64_t max_length = 1024;
    std::string long_texts = "cut";
    std::string dtype = "float32";
    std::string store = "float32";
    std::optional<std::int64_t> truncate_dim;
  } encoder;

  struct Embed {
    std::string from;
  } embed;

  struct Scoring {
    std::int64_t max_new_tokens = 256;
    std::int64_t batch_tokens = 8192;
    std::string similarity = "delta_w";
  } scoring;

  struct Experts {
    std::int64_t candidates = 8;
    std::int64_t count = 4;
    std::vector<std::string> signals = {"perplexity", "accuracy", "diversity"};
    std::vector<std::string> names;
  } experts;

  struct Selection {
    std::int64_t retrieve = 1000;
    double threshold = 0.9;
    std::string similarity = "max";
    std::string policy = "greedy";
    double gamma = 2.0;
    std::string decontaminate = "exact";
    std::int64_t ngram = 13;
  } selection;

  struct Mixture {
    std::int64_t top_k = 2;
    double top_p = 1.0;
    std::string router = "linear";
  } mixture;

  struct Training {
    std::string trained = "all";
    double learning_rate = 5e-5;
    std::int64_t epochs = 5;
    std::int64_t global_batch = 32;
    std::int64_t micro_batch_tokens = 4096;
    std::int64_t cutoff = 1024;
    double warmup = 0.03;
    std::string schedule = "cosine";
    double weight_decay = 1e-4;
    double clip = 1.0;
    double lora_dropout = 0.05;
    double balance_coefficient = 0, z_coefficient = 0;
    std::string recompute = "none";
    std::string reduction = "fast";
    double spike_z = 0;
    std::int64_t hang_limit = 1800;
    std::int64_t checkpoint_every = 50;
    std::int64_t keep_checkpoints = 2;
  } training;

  struct Adapter {
    std::vector<std::string> records;
    FieldMap fields;
    std::string turns = "first";
    std::string on_error = "stop";
    std::string name = "adapter";
    std::int64_t rank = 16;
    double alpha = 32;
    std::string scaling = "lora";
    std::vector<std::string> targets = {"q_proj", "v_proj"};
  } adapter;

  struct Rationalize {
    std::string adapter;
    std::string hint =
        "The right answer is {answer}. Explain step by step how to get there, and end with it.";
  } rationalize;

  struct Evaluation {
    std::vector<std::string> rivals = {"base", "best_single", "uniform_merge"};
    std::int64_t in_context = 5;
    double ties_density = 0.2;
    double dare_drop = 0.9;
    std::vector<double> tune;
  } evaluation;

  struct Generate {
    std::vector<std::string> input;
    std::string output;
    std::string system = "expert";
    FieldMap fields;
    std::optional<std::int64_t> max_new_tokens;
    std::vector<std::string> stop;
    double temperature = 0;
    double top_p = 1.0;
    std::optional<std::int64_t> seed;
    bool logprobs = false;
    std::string on_error = "stop";
  } generate;

  std::string file;  // as given, for messages
  /// Where the keys and sections that are not defaults were set: "lab.yaml:12" or "--set task.k=5".
  std::map<std::string, std::string> locations;
  /// The place of a key, of its section if the key was not set, of the file if neither was.
  std::string location(const std::string& key) const;
};

/// Those of evaluation.rivals that are trained, each by a job of its own.
inline constexpr std::array tuned_rivals = {
    "best_single_tuned",    "task_lora", "merge_tuned", "random_experts_tuned",
    "random_weights_tuned", "mixlora",   "router_only", "lorahub"};

/// All names that evaluation.rivals may hold.
const std::vector<std::string>& rival_names();

/// The inputs that a job may read. `system`: what generate.system is made of, beside results of jobs.
enum class Input {
  base,
  bank,
  shots,
  evaluation,
  corpus,
  encoder,
  adapter_records,
  rationalizer,
  prompts,
  system
};
/// Those of the whole chain.
inline constexpr std::array all_inputs = {Input::base,       Input::bank,   Input::shots,
                                          Input::evaluation, Input::corpus, Input::encoder};

/// Reads `file`, expands ${VAR} and ${VAR:-default}, applies `overrides` ("key.path=YAML scalar or flow", the
/// last one of a key wins) and checks everything, the paths of `inputs` included. Throws config (78) with all
/// that is wrong, one line each: "file:line: path.to.key: what".
RunConfig load_config(const fs::path& file, const std::vector<std::string>& overrides,
                      std::span<const Input> inputs = {});

/// The same where the configuration itself decides what is read.
RunConfig load_config(const fs::path& file, const std::vector<std::string>& overrides,
                      const std::function<std::vector<Input>(const RunConfig&)>& inputs_of);

/// Throws config (78) naming every path of `inputs` that is not set or does not exist, with the place that
/// set it.
void require_paths(const RunConfig& config, std::span<const Input> inputs);

/// Every key with its value, in the order of the defaults. Loading it gives the same settings again.
std::string to_yaml(const RunConfig& config);

/// configs/defaults.yaml: every key with its default and a comment.
std::string defaults_yaml();

/// The chosen settings as one JSON object {"task.k": 50, ...}, keys sorted, for fingerprints. A key path is a
/// setting ("task.k") or a section ("scoring"). Throws internal (70) for an unknown one.
std::string canonical(const RunConfig& config, std::span<const std::string> key_paths);

/// A setting that differs between two canonical forms; JSON values, empty where a form lacks the key.
struct SettingChange {
  std::string key, was, now;
};

/// Throws data (65) if `was` or `now` is not a JSON object.
std::vector<SettingChange> setting_changes(std::string_view was, std::string_view now);

}  // namespace rocket
