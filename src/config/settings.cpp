#include "config/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/device_names.h"

namespace rocket {
namespace {

Rule at_least(double min) {
  return {.min = min};
}
Rule between(double min, double max) {
  return {.min = min, .max = max};
}
Rule one_of(std::vector<std::string> allowed) {
  return {.allowed = std::move(allowed)};
}
Rule path() {
  return {.path = true};
}

// A pointer to the member of a given RunConfig, whatever its type.
#define AT(member) [](RunConfig& c) -> Slot { return &c.member; }

std::vector<Setting> run_settings() {
  return {
      {"run", AT(run), path(), "the run directory: everything that a run leaves"},
      {"seed", AT(seed), at_least(0), "of every random draw"},
      {"device", AT(device), one_of(device_names()), "auto: the GPU where there is one, else the CPU"},

      {"base.path", AT(base.path), path(),
       "a Hugging Face folder: config.json, *.safetensors, tokenizer files"},
      {"base.dtype", AT(base.dtype), one_of({"float32", "bfloat16"}), "in which the base computes"},

      {"bank.adapters", AT(bank.adapters), path(),
       "a folder of PEFT adapter folders, or a list of adapter folders"},
      {"bank.exclude", AT(bank.exclude), {}, "adapters to leave out, by folder name"},
      {"bank.memory", AT(bank.memory), at_least(1), "adapters resident at once; a larger bank is paged"},

      {"task.name", AT(task.name), {}, "for reports"},
      {"task.use", AT(task.use), path(),
       "a file with settings of this section, configs/tasks has some; those written here go before them"},
      {"task.shots", AT(task.shots), path(), "the human-verified records of the task"},
      {"task.evaluation", AT(task.evaluation), path(), "the evaluation set"},
      {"task.k", AT(task.k), at_least(1), "K: the first k shots are used"},
      {"task.prompt",
       AT(task.prompt),
       {},
       "a template over the fields of an item, {a.b} and {list[0]} too; null: prompt.template makes the "
       "prompt"},
      {"task.description", AT(task.description), {}, "a template like it, in front of all of the prompt"},
      {"task.choices", AT(task.choices), path(),
       "the path of an item's list of choices, or a list of fields; =text is a choice itself"},
      {"task.labels", AT(task.labels), path(), "of the choices, where task.gold names one; as task.choices"},
      {"task.gold",
       AT(task.gold),
       {},
       "the field of the right answer: of choices the index from 0, the label or the text; null: answer"},
      {"task.target",
       AT(task.target),
       {},
       "a template over the fields of a shot: what it is scored on where it has neither rationale nor "
       "output; "
       "null: its right answer"},
      {"task.delimiter",
       AT(task.delimiter),
       {},
       "between the prompt and a choice, or the answer of a shot without rationale and output"},
      {"task.fewshot", AT(task.fewshot), at_least(0),
       "so many of the K shots, with their answers, in front of each evaluation item"},
      {"task.fewshot_draw", AT(task.fewshot_draw), at_least(0), "which: first, or the seed of a draw"},
      {"task.answer", AT(task.answer),
       one_of({"choice", "boolean", "number", "exact", "regex", "code", "multiple_choice"}),
       "how the answer is found in a generation; multiple_choice: the choice of the largest log-likelihood"},
      {"task.pattern", AT(task.pattern), {}, "for answer regex: a pattern with one group"},
      {"task.take", AT(task.take), one_of({"first", "last"}),
       "for answer regex: which match of the pattern is the answer"},
      {"task.ignore_case",
       AT(task.ignore_case),
       {},
       "for answers exact and regex: capital and small letters are equal"},
      {"task.ignore_punctuation",
       AT(task.ignore_punctuation),
       {},
       "for answers exact and regex: the 32 ASCII punctuation characters are removed before comparing"},
      {"task.ignore_patterns",
       AT(task.ignore_patterns),
       {},
       "for answer exact: what these patterns match is removed before comparing"},
      {"task.filter",
       AT(task.filter),
       {},
       "{pattern, group, take: first | last}: the part of a generation in which the answer is read; "
       "group null: the first with text, 0: the whole match"},
      {"task.gold_filter",
       AT(task.gold_filter),
       {},
       "the same for right answers; one in which the pattern matches nothing is taken whole"},
      {"task.stop", AT(task.stop), {}, "strings that end a generation, which is cut in front of them"},
      {"task.fields", AT(task.fields), {}, "ours: theirs, e.g. {instruction: question, rationale: answer}"},
      {"task.turns", AT(task.turns), one_of({"first", "last"}),
       "which question of a chat is asked; its answer is the output"},
      {"task.limit", AT(task.limit), at_least(1), "only the first n evaluation items are used; null: all"},
      {"task.yes_words",
       AT(task.yes_words),
       {},
       "for answer boolean: words that mean yes beside those of answers.md"},
      {"task.no_words",
       AT(task.no_words),
       {},
       "for answer boolean: words that mean no beside those of answers.md"},
      {"task.packages",
       AT(task.packages),
       {},
       "for answer code: Python packages that programs may import beside the standard library, e.g. [numpy]"},

      {"prompt.template", AT(prompt.choice), one_of({"alpaca", "llama2", "chatml", "plain", "chat"}),
       "chat: the base's own chat template; or a mapping {with_input: \"...\", without_input: \"...\"}"},
      {"prompt.system",
       AT(prompt.system),
       {},
       "for template chat: the system text of records that have none; null: the template's own, if it has "
       "one"},
      {"prompt.date",
       AT(prompt.date),
       {},
       "for template chat: the day that templates with a date write, e.g. 2024-07-26"},

      {"corpus.records", AT(corpus.records), path(),
       "a list of files: JSON, JSONL, packed ones, Parquet, Arrow; globs"},
      {"corpus.fields",
       AT(corpus.fields),
       {},
       "ours: theirs, as in task.fields; of chats (messages: theirs) the user turn is the instruction, "
       "behind "
       "the system text and a blank line"},
      {"corpus.turns", AT(corpus.turns), one_of({"first", "last", "all"}),
       "which assistant turns of a chat are outputs, each behind the turns before it; all: a record each"},
      {"corpus.on_error", AT(corpus.on_error), one_of({"stop", "skip"}),
       "at a broken record; skip: leave it out and list it in RUN/skipped.jsonl"},
      {"corpus.limit", AT(corpus.limit), at_least(1),
       "only the first n records of the corpus are used; null: all"},

      {"encoder.path", AT(encoder.path), path(), "a sentence encoder in Hugging Face form"},
      {"encoder.pooling", AT(encoder.pooling),
       one_of({"auto", "cls", "lasttoken", "mean", "mean_sqrt_len_tokens", "weightedmean", "max"}),
       "auto: as the encoder's own files say; the others as sentence-transformers names them"},
      {"encoder.prefix",
       AT(encoder.prefix),
       {},
       "in front of every text, unless encoder.prompt takes a prompt of the encoder's own files; e5 wants "
       "\"passage: \""},
      {"encoder.prompt",
       AT(encoder.prompt),
       {},
       "none: encoder.prefix is in front of every text; auto: in its place the default prompt of the "
       "encoder's own files, if they name one; or the name of one of their prompts"},
      {"encoder.max_length", AT(encoder.max_length), at_least(3),
       "tokens of a text, specials included; the encoder's own limit holds too"},
      {"encoder.long", AT(encoder.long_texts), one_of({"cut", "head_tail", "windows"}),
       "of a text beyond that length: its first tokens, half of them from its end, or the mean of windows"},
      {"encoder.dtype", AT(encoder.dtype), one_of({"float32", "bfloat16"}), "in which the encoder computes"},
      {"encoder.store", AT(encoder.store), one_of({"float32", "float16"}),
       "of the embeddings in embed.h5; float16 is half the size, with three digits"},
      {"encoder.truncate_dim", AT(encoder.truncate_dim), at_least(1),
       "only the first n components of the vectors count, for encoders trained so (Matryoshka); null: all"},

      {"embed.from", AT(embed.from), path(),
       "a run directory whose vectors of the same texts are taken over; its encoder must be the same"},
  };
}

std::vector<Setting> choice_settings() {
  return {
      {"scoring.max_new_tokens", AT(scoring.max_new_tokens), at_least(1), "bound on a generation"},
      {"scoring.batch_tokens", AT(scoring.batch_tokens), at_least(1),
       "bound on rows x length of one forward"},
      {"scoring.similarity", AT(scoring.similarity), one_of({"delta_w", "factors", "released_code"}),
       "of two adapters"},

      {"experts.candidates", AT(experts.candidates), at_least(1), "M: adapters that tuples are drawn from"},
      {"experts.count", AT(experts.count), at_least(1), "N: experts in the mixture, at most M"},
      {"experts.signals", AT(experts.signals), one_of({"perplexity", "accuracy", "diversity"}),
       "any subset; [] draws the experts at random by seed"},
      {"experts.names", AT(experts.names), {}, "an explicit list wins over candidates, count and signals"},

      {"selection.retrieve", AT(selection.retrieve), at_least(1), "C: records nearest to the shots"},
      {"selection.threshold",
       AT(selection.threshold),
       {.min = -1, .max = 1, .above_min = true},
       "tau: of two records with a larger cosine one is dropped"},
      {"selection.similarity", AT(selection.similarity), one_of({"max", "mean"}), "to the shots"},
      {"selection.policy", AT(selection.policy),
       one_of(
           {"greedy", "released_code", "similarity_only", "random", "convex", "kde", "repr_filter", "none"}),
       "none: fine-tune on the shots only"},
      {"selection.gamma", AT(selection.gamma), at_least(0), "for kde: exp(-gamma * squared distance)"},
      {"selection.decontaminate", AT(selection.decontaminate), one_of({"exact", "ngram"}),
       "records removed first: equal to a shot or an evaluation item; ngram: also those that share n words "
       "in a row"},
      {"selection.ngram", AT(selection.ngram), at_least(1),
       "n of ngram; a text of fewer words is compared whole"},
  };
}

std::vector<Setting> training_settings() {
  return {
      {"mixture.top_k", AT(mixture.top_k), at_least(1), "experts per token"},
      {"mixture.top_p",
       AT(mixture.top_p),
       {.min = 0, .max = 1, .above_min = true},
       "of the top_k, the fewest whose probabilities sum to this; 1: all"},
      {"mixture.router", AT(mixture.router), one_of({"linear", "arrow"}), "how the routers start"},

      {"training.trained", AT(training.trained), one_of({"all", "router_only"}), "all: experts and routers"},
      {"training.learning_rate", AT(training.learning_rate), between(0, 1), "at the end of the warm-up"},
      {"training.epochs", AT(training.epochs), at_least(0), "0: the untrained mixture"},
      {"training.global_batch", AT(training.global_batch), at_least(1),
       "examples per update, over all ranks"},
      {"training.micro_batch_tokens", AT(training.micro_batch_tokens), at_least(1),
       "packed tokens per forward on one rank"},
      {"training.cutoff", AT(training.cutoff), at_least(2),
       "tokens of an example; longer ones lose their end"},
      {"training.warmup", AT(training.warmup), between(0, 1),
       "share of the updates with a rising learning rate"},
      {"training.schedule", AT(training.schedule), one_of({"cosine", "linear", "constant"}),
       "after the warm-up"},
      {"training.weight_decay", AT(training.weight_decay), at_least(0), "of the experts; routers have none"},
      {"training.clip",
       AT(training.clip),
       {.min = 0, .above_min = true},
       "bound on the norm of the gradient"},
      {"training.lora_dropout",
       AT(training.lora_dropout),
       {.min = 0, .max = 1, .below_max = true},
       "on the input of the experts"},
      {"training.balance_coefficient", AT(training.balance_coefficient), at_least(0),
       "of the load-balance loss"},
      {"training.z_coefficient", AT(training.z_coefficient), at_least(0), "of the router z-loss"},
      {"training.recompute", AT(training.recompute), one_of({"none", "layer"}),
       "layer: a layer's insides are computed again for the backward pass, not kept"},
      {"training.reduction", AT(training.reduction), one_of({"fast", "deterministic"}),
       "of gradients over ranks; deterministic: the same bits for any number of ranks"},
      {"training.spike_z", AT(training.spike_z), at_least(0),
       "stop at a loss so many standard deviations above the last 128; 0: never"},
      {"training.hang_limit", AT(training.hang_limit), at_least(1),
       "seconds in which some rank must get further, else the job ends and names who hangs"},
      {"training.checkpoint_every", AT(training.checkpoint_every), at_least(1),
       "updates; and always on a stop"},
      {"training.keep_checkpoints", AT(training.keep_checkpoints), at_least(1), "older ones are removed"},

      {"adapter.records", AT(adapter.records), path(),
       "for train-adapter: a list of files as in corpus.records; the target is the rationale where there is "
       "one"},
      {"adapter.fields", AT(adapter.fields), {}, "ours: theirs, as in task.fields"},
      {"adapter.turns", AT(adapter.turns), one_of({"first", "last", "all"}), "as in corpus.turns"},
      {"adapter.on_error", AT(adapter.on_error), one_of({"stop", "skip"}),
       "at a broken record; skip: leave it out, count it and name the first"},
      {"adapter.name", AT(adapter.name), {}, "the adapter is written to RUN/adapter/<name>"},
      {"adapter.rank", AT(adapter.rank), at_least(1), "r of A [r, d_in] and B [d_out, r]"},
      {"adapter.alpha", AT(adapter.alpha), {.min = 0, .above_min = true}, "see adapter.scaling"},
      {"adapter.scaling", AT(adapter.scaling), one_of({"lora", "rslora"}),
       "of B A: alpha / rank; rslora: alpha / sqrt(rank)"},
      {"adapter.targets", AT(adapter.targets),
       one_of({"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "qkv_proj",
               "gate_up_proj", "query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"}),
       "linear layers that are adapted, in every layer of the base"},

      {"rationalize.adapter", AT(rationalize.adapter), path(),
       "an adapter folder that writes the rationales; null: the base"},
      {"rationalize.hint",
       AT(rationalize.hint),
       {},
       "behind the instruction of a shot that was not answered right at first; {answer} is its answer"},

      {"evaluation.rivals", AT(evaluation.rivals), one_of(rival_names()), "evaluated beside the mixture"},
      {"evaluation.in_context", AT(evaluation.in_context), at_least(1),
       "shots in front of every item, of the rivals in_context and best_single_in_context"},
      {"evaluation.ties_density",
       AT(evaluation.ties_density),
       {.min = 0, .max = 1, .above_min = true},
       "of the rival ties: the share of each expert's update that is kept"},
      {"evaluation.dare_drop",
       AT(evaluation.dare_drop),
       {.min = 0, .max = 1, .below_max = true},
       "of the rival dare: the share of each expert's update that is dropped"},
      {"evaluation.tune",
       AT(evaluation.tune),
       {.min = 0, .above_min = true},
       "learning rates to try on held-out shots, of the expert and of all rivals that are trained; none: "
       "training.learning_rate"},

      {"generate.input", AT(generate.input), path(),
       "for generate: a list of files of prompts, of the kinds of corpus.records; globs"},
      {"generate.output", AT(generate.output), path(), "a JSONL file: the prompts with their answers"},
      {"generate.system",
       AT(generate.system),
       {},
       "what answers: expert, a name of evaluation.rivals, or an adapter of the bank"},
      {"generate.fields", AT(generate.fields), {}, "ours: theirs, of the prompts; {}: task.fields"},
      {"generate.max_new_tokens", AT(generate.max_new_tokens), at_least(1),
       "bound on an answer; null: scoring.max_new_tokens"},
      {"generate.stop", AT(generate.stop), {}, "strings that end an answer; []: task.stop"},
      {"generate.temperature", AT(generate.temperature), at_least(0),
       "of the probabilities that tokens are drawn from; 0: the likeliest token"},
      {"generate.top_p",
       AT(generate.top_p),
       {.min = 0, .max = 1, .above_min = true},
       "tokens are drawn from the fewest likeliest ones whose probabilities sum to this; 1: from all"},
      {"generate.seed", AT(generate.seed), at_least(0), "of the draws; null: seed"},
      {"generate.logprobs",
       AT(generate.logprobs),
       {},
       "adds the log-probability of each token that was generated"},
      {"generate.on_error", AT(generate.on_error), one_of({"stop", "skip"}),
       "at a prompt that cannot be asked, e.g. one that is too long; skip: it gets no answer, but the "
       "reason"},
  };
}

#undef AT

std::string bounds(const Rule& rule) {
  const bool low = rule.min > -std::numeric_limits<double>::infinity();
  const bool high = rule.max < std::numeric_limits<double>::infinity();
  if (low && !high)
    return rule.above_min ? fmt::format("above {}", rule.min) : fmt::format("{} or more", rule.min);
  if (!low || !high) return "";
  return fmt::format("{} {}, {} {}", rule.above_min ? "above" : "at least", rule.min,
                     rule.below_max ? "below" : "at most", rule.max);
}

}  // namespace

const std::vector<std::string>& rival_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all = {
        "base", "in_context", "best_single",    "best_single_in_context", "each_expert", "uniform_merge",
        "ties", "dare",       "random_experts", "random_weights",         "untrained",   "arrow"};
    all.insert(all.end(), tuned_rivals.begin(), tuned_rivals.end());
    return all;
  }();
  return names;
}

std::string_view Setting::section() const {
  const std::size_t dot = key.find('.');
  return dot == std::string::npos ? std::string_view() : std::string_view(key).substr(0, dot);
}

std::string_view Setting::name() const {
  const std::size_t dot = key.find('.');
  return dot == std::string::npos ? std::string_view(key) : std::string_view(key).substr(dot + 1);
}

const std::vector<Setting>& settings() {
  static const std::vector<Setting> all = [] {
    std::vector<Setting> joined;
    for (const auto& group : {run_settings(), choice_settings(), training_settings()}) {
      joined.insert(joined.end(), group.begin(), group.end());
    }
    return joined;
  }();
  return all;
}

const Setting* find_setting(std::string_view key) {
  const auto found =
      std::find_if(settings().begin(), settings().end(), [&](const Setting& s) { return s.key == key; });
  return found == settings().end() ? nullptr : &*found;
}

bool is_section(std::string_view key) {
  return !key.empty() && std::any_of(settings().begin(), settings().end(),
                                     [&](const Setting& s) { return s.section() == key; });
}

const std::vector<std::string>& known_keys() {
  static const std::vector<std::string> keys = [] {
    std::vector<std::string> all;
    for (const Setting& setting : settings()) {
      const std::string section(setting.section());
      if (!section.empty() && std::find(all.begin(), all.end(), section) == all.end()) all.push_back(section);
      all.push_back(setting.key);
    }
    return all;
  }();
  return keys;
}

const std::vector<std::string>& record_fields() {
  static const std::vector<std::string> fields = {"instruction", "input",    "output", "rationale", "answer",
                                                  "tests",       "messages", "system", "history"};
  return fields;
}

std::string describe(const Rule& rule) {
  if (!rule.allowed.empty()) return fmt::format("{}", fmt::join(rule.allowed, " | "));
  return bounds(rule);
}

bool within(const Rule& rule, double value) {
  return (rule.above_min ? value > rule.min : value >= rule.min) &&
         (rule.below_max ? value < rule.max : value <= rule.max);
}

}  // namespace rocket
