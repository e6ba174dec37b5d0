#include "pipeline/options.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "base/error.h"
#include "base/nearest.h"
#include "text/chat_template.h"

namespace rocket {

namespace {

/// The configuration has checked the word against its list; a word that is missing here is our mistake.
template <class T, std::size_t N>
T choice(const std::string& word, const std::array<std::pair<const char*, T>, N>& words) {
  for (const auto& [name, value] : words) {
    if (word == name) return value;
  }
  fail_internal("the setting '{}' has no meaning here", word);
}

bool contains(const std::vector<std::string>& words, const char* word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

at::ScalarType compute_type(const RunConfig& config) {
  static constexpr std::array words{std::pair{"float32", at::kFloat}, std::pair{"bfloat16", at::kBFloat16}};
  return choice(config.base.dtype, words);
}

std::vector<BankEntry> configured_bank(const RunConfig& config) {
  std::vector<fs::path> folders(config.bank.adapters.list.begin(), config.bank.adapters.list.end());
  if (!config.bank.adapters.one.empty()) folders.emplace_back(config.bank.adapters.one);
  return list_bank(folders, config.bank.exclude);
}

BankEntry system_of_bank(const RunConfig& config) {
  const std::vector<BankEntry> bank = configured_bank(config);
  const std::string& name = config.generate.system;
  if (const BankEntry* entry = find_entry(bank, name)) return *entry;
  std::vector<std::string> known = rival_names();
  known.push_back("expert");
  for (const BankEntry& entry : bank) known.push_back(entry.name);
  fail_config(
      "{}: generate.system: neither a system nor an adapter of the bank is called '{}': did you mean '{}'?",
      config.location("generate.system"), name, nearest(name, known));
}

std::tm day_in(std::string_view setting, const std::string& text) {
  std::tm day{};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%d", &day);
  if (!end || *end != '\0' || text.size() != 10)
    fail_config("{}: expected a day such as 2024-07-26, found '{}'", setting, text);
  return day;
}

namespace {

PromptTemplate tokenizers_own(const RunConfig& config) {
  ChatOptions options{config.prompt.system.value_or(""), std::nullopt};
  if (config.prompt.date)
    options.now = day_in(config.location("prompt.date") + ": prompt.date", *config.prompt.date);
  return chat_template(std::make_shared<const ChatTemplate>(config.base.path, std::move(options)));
}

}  // namespace

PromptTemplate prompt_template(const RunConfig& config) {
  const TemplateChoice& chosen = config.prompt.choice;
  if (chosen.name == "chat") return tokenizers_own(config);
  for (const auto& [key, value] :
       {std::pair{"prompt.system", &config.prompt.system}, std::pair{"prompt.date", &config.prompt.date}})
    if (*value) fail_config("{}: {}: only prompt.template: chat reads it", config.location(key), key);
  return chosen.name.empty() ? PromptTemplate{chosen.with_input, chosen.without_input}
                             : named_template(chosen.name);
}

namespace {

/// Calls `make`; what is wrong is said behind the place of the setting.
template <class F>
auto made_of(const RunConfig& config, const char* key, F&& make) {
  return in_context(config.location(key), std::forward<F>(make));
}

std::optional<AnswerFilter> answer_filter(const RunConfig& config, const char* key,
                                          const FilterChoice& chosen) {
  if (chosen.pattern.empty()) return std::nullopt;
  return made_of(config, key, [&] {
    return std::optional<AnswerFilter>(std::in_place,
                                       FilterRule{chosen.pattern, chosen.group, chosen.take == "last"}, key);
  });
}

std::vector<Pattern> ignored_patterns(const RunConfig& config) {
  std::vector<Pattern> patterns;
  for (const std::string& pattern : config.task.ignore_patterns) {
    try {
      patterns.emplace_back(pattern, Pattern::Classes::unicode);
    } catch (const Error& e) {
      fail_config("{}: task.ignore_patterns: {}", config.location("task.ignore_patterns"), e.what());
    }
  }
  return patterns;
}

}  // namespace

TaskForm task_form(const RunConfig& config) {
  const auto& task = config.task;
  for (const auto& [key, text] :
       {std::pair{"task.prompt", &task.prompt}, std::pair{"task.description", &task.description},
        std::pair{"task.target", &task.target}}) {
    if (*text) made_of(config, key, [&] { return FieldTemplate(**text, key); });
  }
  return TaskForm({.prompt = task.prompt,
                   .description = task.description,
                   .target = task.target,
                   .choices = {task.choices.one, task.choices.list},
                   .labels = {task.labels.one, task.labels.list},
                   .gold = task.gold,
                   .delimiter = task.delimiter});
}

AnswerReader answer_reader(const RunConfig& config) {
  if (config.task.answer == "multiple_choice") return AnswerReader();
  const auto& task = config.task;
  const auto extractor = [&] {
    return AnswerExtractor(answer_kind(task.answer), task.pattern.value_or(""),
                           {.last = task.take == "last",
                            .ignore_case = task.ignore_case,
                            .ignore_punctuation = task.ignore_punctuation,
                            .words = {.yes = task.yes_words, .no = task.no_words},
                            .packages = task.packages});
  };
  return AnswerReader(
      made_of(config, "task.pattern", extractor),
      {answer_filter(config, "task.filter", task.filter),
       answer_filter(config, "task.gold_filter", task.gold_filter), ignored_patterns(config)});
}

SimilarityKind similarity_kind(const RunConfig& config) {
  static constexpr std::array words{std::pair{"delta_w", SimilarityKind::delta_w},
                                    std::pair{"factors", SimilarityKind::factors},
                                    std::pair{"released_code", SimilarityKind::released_code}};
  return choice(config.scoring.similarity, words);
}

ExpertOptions expert_options(const RunConfig& config) {
  const auto& signals = config.experts.signals;
  return {.candidates = config.experts.candidates,
          .count = config.experts.count,
          .signals = {contains(signals, "perplexity"), contains(signals, "accuracy"),
                      contains(signals, "diversity")},
          .names = config.experts.names,
          .seed = config.seed};
}

SelectionOptions selection_options(const RunConfig& config) {
  using P = SelectionPolicy;
  static constexpr std::array policies{std::pair{"greedy", P::greedy},
                                       std::pair{"released_code", P::released_code},
                                       std::pair{"similarity_only", P::similarity_only},
                                       std::pair{"random", P::random},
                                       std::pair{"convex", P::convex},
                                       std::pair{"kde", P::kde},
                                       std::pair{"repr_filter", P::repr_filter},
                                       std::pair{"none", P::none}};
  static constexpr std::array similarities{std::pair{"max", ShotSimilarity::max},
                                           std::pair{"mean", ShotSimilarity::mean}};
  return {.retrieve = config.selection.retrieve,
          .threshold = config.selection.threshold,
          .similarity = choice(config.selection.similarity, similarities),
          .policy = choice(config.selection.policy, policies),
          .gamma = config.selection.gamma,
          .seed = config.seed};
}

MixtureOptions mixture_options(const RunConfig& config) {
  static constexpr std::array words{std::pair{"linear", RouterKind::linear},
                                    std::pair{"arrow", RouterKind::arrow}};
  return {.top_k = config.mixture.top_k,
          .top_p = config.mixture.top_p,
          .router = choice(config.mixture.router, words),
          .seed = config.seed};
}

TrainingOptions training_options(const RunConfig& config) {
  static constexpr std::array schedules{std::pair{"cosine", Schedule::cosine},
                                        std::pair{"linear", Schedule::linear},
                                        std::pair{"constant", Schedule::constant}};
  const auto& t = config.training;
  return {.router_only = t.trained == "router_only",
          .learning_rate = t.learning_rate,
          .epochs = t.epochs,
          .global_batch = t.global_batch,
          .micro_batch_tokens = t.micro_batch_tokens,
          .cutoff = t.cutoff,
          .warmup = t.warmup,
          .schedule = choice(t.schedule, schedules),
          .weight_decay = t.weight_decay,
          .clip = t.clip,
          .lora_dropout = t.lora_dropout,
          .balance_coefficient = t.balance_coefficient,
          .z_coefficient = t.z_coefficient,
          .recompute_layers = t.recompute == "layer",
          .spike_z = t.spike_z,
          .checkpoint_every = t.checkpoint_every,
          .keep_checkpoints = t.keep_checkpoints,
          .seed = config.seed};
}

}  // namespace rocket
