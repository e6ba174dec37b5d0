#include "pipeline/run_tables.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "base/nearest.h"
#include "pipeline/corpus_data.h"
#include "pipeline/proof.h"
#include "pipeline/results.h"
#include "pipeline/system_comparison.h"
#include "scoring/chance.h"
#include "selection/heavy_shots.h"
#include "selection/standings.h"
#include "training/checkpoint.h"

namespace rocket {

using nlohmann::json;
using nlohmann::ordered_json;

namespace {

void require_file(const RunDirectory& run, const std::string& file, const std::string& job) {
  if (!fs::exists(run.file(file)))
    fail_data("{}: no {}: `rocket {} CONFIG` makes it", run.root().string(), file, job);
}

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

/// JSON has no infinity.
json finite(double value) {
  return std::isfinite(value) ? json(value) : json(nullptr);
}

/// "base, best_single": the systems that one is better than beyond chance; null for none.
json worse_systems(const PairedAnswers& answers, const Comparison& comparison, std::size_t place) {
  std::vector<std::string> names;
  for (const std::size_t worse : comparison.worse_than(place)) names.push_back(answers.systems[worse]);
  return names.empty() ? json(nullptr) : json(fmt::format("{}", fmt::join(names, ", ")));
}

/// Places before `experts` has run are those of Algorithm 1 with both signals; nobody is chosen yet.
std::vector<AdapterStanding> current_standings(const RunDirectory& run, const BankScores& bank) {
  if (fs::exists(run.file("experts.json"))) return read_expert_choice(run).standings;
  return stand(bank, Signals{}).rows;
}

/// exp_mean_nll is null for an adapter that score.h5 no longer holds.
Shown scores(const RunDirectory& run) {
  require_file(run, "score.h5", "score");
  const BankScores bank = read_scores(run).bank;
  Table table{{"adapter", "perplexity", "perplexity_se", "accuracy", "accuracy_se", "place_perplexity",
               "place_accuracy", "place", "candidate", "expert", "exp_mean_nll"},
              {}};
  for (const AdapterStanding& s : current_standings(run, bank)) {
    const auto row = std::ranges::find(bank.adapters, s.adapter) - bank.adapters.begin();
    const bool scored = row < static_cast<std::ptrdiff_t>(bank.adapters.size());
    table.rows.push_back({s.adapter, finite(s.perplexity), or_null(s.perplexity_se), s.accuracy,
                          s.accuracy_se, or_null(s.place_perplexity), or_null(s.place_accuracy),
                          or_null(s.place), s.candidate, s.expert,
                          scored ? finite(exp_mean_nll(bank, row)) : json(nullptr)});
  }
  return table;
}

Shown shots(const RunDirectory& run) {
  require_file(run, "score.h5", "score");
  const StoredScores scores = read_scores(run);
  const bool of_choices = !scores.chosen.empty();
  Table table{{"adapter", "shot", "nll", "target_tokens", "correct", of_choices ? "chosen" : "generation"},
              {}};
  const std::int64_t k = scores.bank.shots;
  for (std::size_t a = 0; a < scores.bank.adapters.size(); ++a) {
    for (std::int64_t s = 0; s < k; ++s) {
      const std::size_t i = a * k + s;
      table.rows.push_back({scores.bank.adapters[a], s, finite(scores.bank.nll[i]), scores.target_tokens[s],
                            scores.bank.correct[i] != 0,
                            of_choices ? json(scores.chosen[i]) : json(scores.generations[i])});
    }
  }
  return table;
}

/// Text and CSV show the matrix as a table with one row an adapter.
Shown similarity(const RunDirectory& run) {
  require_file(run, "score.h5", "score");
  const BankScores bank = read_scores(run).bank;
  const std::vector<std::string> names(bank.adapters.begin() + 1, bank.adapters.end());
  json matrix = json::array();
  for (std::size_t i = 0; i < names.size(); ++i)
    matrix.push_back(std::vector<double>(bank.similarity.begin() + i * names.size(),
                                         bank.similarity.begin() + (i + 1) * names.size()));
  return ordered_json{{"adapters", names}, {"matrix", matrix}};
}

Shown experts(const RunDirectory& run) {
  require_file(run, "experts.json", "experts");
  const ExpertChoice choice = read_expert_choice(run);
  return ordered_json{{"experts", choice.experts},
                      {"candidates", choice.candidates},
                      {"tuples", choice.tuples},
                      {"mean_similarity", or_null(choice.mean_similarity)},
                      {"objective", or_null(choice.objective)},
                      {"notes", choice.notes}};
}

Shown selection(const RunDirectory& run) {
  require_file(run, "select.h5", "select");
  const H5Reader file = open_result(run, "select.h5");
  const auto record = file.read<std::int64_t>("retrieved");
  const auto near = file.read<float>("similarity");
  const auto kept = file.read<std::uint8_t>("kept");
  const auto dropped_by = file.read<std::int64_t>("dropped_by");
  Table table{{"record", "similarity", "kept", "dropped_by"}, {}};
  for (std::size_t i = 0; i < record.size(); ++i)
    table.rows.push_back({record[i], near[i], kept[i] != 0, dropped_by[i]});
  return table;
}

/// The steps that a training left in `output`.
Table steps_of(const RunDirectory& run, const std::string& output) {
  const H5Reader file = open_result(run, output);
  const auto step = file.read<std::int64_t>("step"), epoch = file.read<std::int64_t>("epoch"),
             tokens = file.read<std::int64_t>("target_tokens");
  const auto loss = file.read<double>("loss"), rate = file.read<double>("learning_rate"),
             norm = file.read<double>("gradient_norm"), seconds = file.read<double>("seconds");
  Table table{{"step", "epoch", "loss", "learning_rate", "gradient_norm", "target_tokens", "seconds"}, {}};
  for (std::size_t i = 0; i < step.size(); ++i)
    table.rows.push_back({step[i], epoch[i], loss[i], rate[i], norm[i], tokens[i], seconds[i]});
  return table;
}

Shown adapter_training(const RunDirectory& run) {
  require_file(run, "adapter_training.h5", "train-adapter");
  return steps_of(run, "adapter_training.h5");
}

/// Those of finetune; where it has not run, those of train-adapter.
Shown training(const RunDirectory& run) {
  const bool of_adapter = fs::exists(run.file("adapter_training.h5"));
  if (of_adapter && !fs::exists(run.file("training.h5"))) return adapter_training(run);
  require_file(run, "training.h5", "finetune");
  if (of_adapter) log::info("these are finetune's steps; train-adapter's are the table adapter_training");
  return steps_of(run, "training.h5");
}

/// The learning rates that evaluation.tune names, of each job that tried them.
Shown rates(const RunDirectory& run) {
  Table table{{"job", "learning_rate", "nll", "chosen"}, {}};
  for (const JobSpec& spec : job_specs()) {
    for (const std::string& output : spec.may_leave) {
      if (!output.ends_with("rates.h5") || !fs::exists(run.file(output))) continue;
      const H5Reader tried = open_result(run, output);
      const auto count = tried.shape("nll").at(0);
      const auto nll = tried.read<double>("nll", {count});
      const auto rate = tried.read<double>("learning_rate", {count});
      const auto best = std::ranges::min_element(nll) - nll.begin();
      for (std::size_t i = 0; i < nll.size(); ++i)
        table.rows.push_back({spec.name, rate[i], nll[i], std::cmp_equal(i, best)});
    }
  }
  if (table.rows.empty())
    fail_data("{}: no job has tried learning rates: evaluation.tune names them", run.root().string());
  return table;
}

/// Of a system's verdicts in a table [S, I].
double share_of(const std::vector<std::uint8_t>& verdicts, std::size_t system, std::int64_t items) {
  const auto begin = verdicts.begin() + static_cast<std::ptrdiff_t>(system) * items;
  return static_cast<double>(std::count(begin, begin + items, 1)) / static_cast<double>(items);
}

Shown evaluation(const RunDirectory& run) {
  require_file(run, "evaluate.h5", "evaluate");
  const StoredEvaluation result = read_evaluation_result(run);
  const json chance = or_null(chance_level(result.offered));
  const PairedAnswers answers = paired_answers({{run.root().string(), result}});
  const Comparison against_others = compare_systems(answers);
  Table table{{"system", "correct", "items", "accuracy", "se", "nothing_found", "chance", "best",
               "better_than", "tokens"},
              {}};
  if (result.choices) table.columns.insert(table.columns.end(), {"acc_norm", "acc_bytes"});
  for (std::size_t s = 0; s < result.systems.size(); ++s) {
    const std::size_t place = answers.place_of(result.systems[s]);
    table.rows.push_back({result.systems[s], result.correct_of(s), result.items, result.accuracy(s),
                          result.standard_error(s), or_null(result.nothing_found(s)), chance,
                          against_others.best[place], worse_systems(answers, against_others, place),
                          or_null(result.tokens_of(s))});
    if (!result.choices) continue;
    for (const auto* verdicts : {&result.choices->correct_norm, &result.choices->correct_bytes})
      table.rows.back().push_back(share_of(*verdicts, s, result.items));
  }
  return table;
}

/// Choices count from 0.
Table chosen_items(const StoredEvaluation& result) {
  Table table{{"system", "item", "correct", "chosen", "gold", "correct_norm", "correct_bytes", "logprobs"},
              {}};
  const StoredChoices& choices = *result.choices;
  for (std::size_t s = 0; s < result.systems.size(); ++s) {
    for (std::int64_t item = 0; item < result.items; ++item) {
      const std::size_t i = s * result.items + item;
      table.rows.push_back({result.systems[s], item, result.correct[i] != 0, choices.chosen[i],
                            choices.right[item], choices.correct_norm[i] != 0, choices.correct_bytes[i] != 0,
                            choices.logprobs[i]});
    }
  }
  return table;
}

Shown comparison(const RunDirectory& run) {
  require_file(run, "evaluate.h5", "evaluate");
  const std::string name = run.root().string();
  return in_context(name, [&] {
    return comparison_table(paired_answers({{name, read_evaluation_result(run)}}));
  });
}

/// Every system's answer to every item.
Shown items(const RunDirectory& run) {
  require_file(run, "evaluate.h5", "evaluate");
  const StoredEvaluation result = read_evaluation_result(run);
  if (result.golds.empty())
    fail_data("{}: written by a version that kept no answers: `rocket evaluate CONFIG --fresh` adds them",
              run.file("evaluate.h5").string());
  if (result.choices) return chosen_items(result);
  Table table{{"system", "item", "correct", "chosen", "gold", "generation", "extracted"}, {}};
  for (std::size_t s = 0; s < result.systems.size(); ++s) {
    for (std::int64_t item = 0; item < result.items; ++item) {
      const std::size_t i = s * result.items + item;
      table.rows.push_back({result.systems[s], item, result.correct[i] != 0, or_null(result.extracted[i]),
                            result.golds[item], result.generations[i], or_null(result.extracted[i])});
    }
  }
  return table;
}

/// What every system's answer to every item took.
Shown costs(const RunDirectory& run) {
  require_file(run, "evaluate.h5", "evaluate");
  const StoredEvaluation result = read_evaluation_result(run);
  if (result.tokens.empty())
    fail_data("{}: written by a version that kept no costs: `rocket evaluate CONFIG --fresh` adds them",
              run.file("evaluate.h5").string());
  const std::vector<double> seconds = read_evaluation_seconds(run, result);
  Table table{{"system", "item", "tokens", "seconds"}, {}};
  for (std::size_t s = 0; s < result.systems.size(); ++s) {
    for (std::int64_t item = 0; item < result.items; ++item) {
      const std::size_t i = s * result.items + item;
      table.rows.push_back({result.systems[s], item, result.tokens[i], seconds[i]});
    }
  }
  return table;
}

/// What a job that is not done has committed: its newest checkpoint's step, or how many units.
std::int64_t committed_parts(const RunDirectory& run, const JobSpec& spec) {
  for (const std::string& output : spec.outputs) {
    if (const auto steps = checkpoint_steps(run.file(output)); !steps.empty()) return steps.back();
  }
  std::int64_t units = 0;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(run.parts(spec.name), absent))
    units += entry.path().filename().string().starts_with("unit-") && entry.path().extension() == ".h5";
  return units;
}

/// Why the record of a job is wrong in saying that it is done.
std::optional<std::string> fault_of(const RunDirectory& run, const JobSpec& spec, const JobRecord& record) {
  return record.done ? missing_proof(run, spec, record) : std::nullopt;
}

Shown jobs(const RunDirectory& run) {
  Table table{{"job", "state", "parts_done", "parts_total", "seconds"}, {}};
  for (const JobSpec& spec : job_specs()) {
    const auto record = read_record(run, spec.name);
    if (!record) {
      if (!spec.rival.empty() || !spec.in_manifest) continue;  // most runs ask for none of them
      table.rows.push_back({spec.name, "absent", 0, nullptr, nullptr});
      continue;
    }
    const bool done = record->done && !fault_of(run, spec, *record);
    table.rows.push_back({spec.name, done ? "done" : "partial",
                          done ? record->parts_done : committed_parts(run, spec), record->parts_total,
                          record->seconds});
  }
  return table;
}

using TableMaker = Shown (*)(const RunDirectory&);
const std::vector<std::pair<std::string, TableMaker>>& makers() {
  static const std::vector<std::pair<std::string, TableMaker>> all = {{"scores", scores},
                                                                      {"shots", shots},
                                                                      {"similarity", similarity},
                                                                      {"experts", experts},
                                                                      {"selection", selection},
                                                                      {"training", training},
                                                                      {"rates", rates},
                                                                      {"evaluation", evaluation},
                                                                      {"comparison", comparison},
                                                                      {"items", items},
                                                                      {"costs", costs},
                                                                      {"jobs", jobs},
                                                                      {"adapter_training", adapter_training}};
  return all;
}

}  // namespace

const std::vector<std::string>& run_table_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const auto& [name, maker] : makers()) all.push_back(name);
    return all;
  }();
  return names;
}

Shown run_table(const RunDirectory& run, const std::string& name) {
  for (const auto& [known, maker] : makers()) {
    if (known == name) return maker(run);
  }
  fail(ExitCode::usage, "no table is called '{}': did you mean '{}'? There are: {}", name,
       nearest(name, run_table_names()), fmt::join(run_table_names(), ", "));
}

std::string run_summary(const RunDirectory& run) {
  std::string text = fmt::format("{}\n\n{}", run.root().string(), render(jobs(run), TableFormat::text));
  for (const JobSpec& spec : job_specs()) {
    const auto record = read_record(run, spec.name);
    if (const auto fault = record ? fault_of(run, spec, *record) : std::nullopt)
      text += fmt::format("\n{}: not done, although its record says so: {}: `rocket {} CONFIG` mends it\n",
                          spec.name, *fault, spec.command());
  }
  if (const std::int64_t skipped = skipped_records(run); skipped > 0)
    text += fmt::format("\ncorpus: {} broken records left out, see {}\n", skipped,
                        run.file("skipped.jsonl").string());
  if (fs::exists(run.file("experts.json"))) {
    const ExpertChoice choice = read_expert_choice(run);
    text += fmt::format("\nexperts: {}\n", fmt::join(choice.experts, ", "));
    for (const std::string& note : choice.notes) text += fmt::format("note: {}\n", note);
  }
  if (fs::exists(run.file("evaluate.h5")))
    text += fmt::format("\n{}", render(evaluation(run), TableFormat::text));
  return text;
}

std::string render(const Shown& shown, TableFormat format) {
  return std::visit([&](const auto& what) { return render(what, format); }, shown);
}

std::string system_label(const RunDirectory& run, const std::string& system) {
  if (system == "best_single") return fmt::format("best_single ({})", best_single(read_scores(run).bank));
  if (system == "expert") return "expert (fine-tuned mixture)";
  return system;
}

}  // namespace rocket
