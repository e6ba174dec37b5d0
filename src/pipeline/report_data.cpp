#include "pipeline/report_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "buildinfo/build_info.h"
#include "pipeline/proof.h"
#include "pipeline/report_selection.h"
#include "pipeline/results.h"
#include "pipeline/run_tables.h"
#include "pipeline/system_comparison.h"
#include "scoring/chance.h"
#include "selection/bootstrap.h"
#include "selection/heavy_shots.h"

namespace rocket {

namespace {

std::vector<ReportSystem> systems_of(const RunDirectory& run, const StoredEvaluation& result) {
  std::vector<ReportSystem> systems;
  for (std::size_t s = 0; s < result.systems.size(); ++s) {
    systems.push_back({result.systems[s], system_label(run, result.systems[s]), result.correct_of(s),
                       result.items, result.systems[s] == "expert", result.nothing_found(s)});
  }
  return systems;
}

void add_comparison(const StoredEvaluation& result, ReportData& data) {
  const PairedAnswers answers = paired_answers({{data.run, result}});
  const Comparison comparison = compare_systems(answers);
  for (ReportSystem& system : data.systems) system.best = comparison.best[answers.place_of(system.name)];
  for (const SystemPair& pair : comparison.pairs) {
    const std::string &a = answers.systems[pair.a], &b = answers.systems[pair.b];
    data.differences.push_back({.a = a,
                                .b = b,
                                .difference = pair.difference,
                                .low = pair.low,
                                .high = pair.high,
                                .a_only = pair.only_a,
                                .b_only = pair.only_b,
                                .p_holm = pair.p_holm,
                                .beyond_chance = pair.beyond_chance(),
                                .ours = a == "expert" || b == "expert"});
  }
}

ReportAdapter adapter_of(const AdapterStanding& s, double exp_mean_nll) {
  return {.name = s.adapter,
          .perplexity = s.perplexity,
          .accuracy = s.accuracy,
          .perplexity_se = s.perplexity_se,
          .accuracy_se = s.accuracy_se,
          .exp_mean_nll = exp_mean_nll,
          .place = s.place,
          .candidate = s.candidate,
          .expert = s.expert,
          .perplexity_share = std::nullopt,
          .accuracy_share = std::nullopt};
}

ReportBank bank_of(const BankScores& scores, const ExpertChoice& choice, std::uint64_t seed) {
  ReportBank bank;
  bank.shots = scores.shots;
  bank.notes = choice.notes;
  const std::vector<BootstrapShare> against_best = compare_with_best(scores, seed);
  for (std::size_t i = 0; i < choice.standings.size(); ++i) {
    ReportAdapter adapter = adapter_of(choice.standings[i], exp_mean_nll(scores, i));
    if (i == 0) {
      bank.base = adapter;
      continue;
    }
    adapter.perplexity_share = against_best[i - 1].perplexity;
    adapter.accuracy_share = against_best[i - 1].accuracy;
    bank.adapters.push_back(adapter);
  }
  return bank;
}

ReportSimilarity similarity_of(const BankScores& scores, const ExpertChoice& choice) {
  std::map<std::string, std::size_t> index;
  const std::size_t bank = scores.adapters.size() - 1;
  for (std::size_t i = 0; i < bank; ++i) index[scores.adapters[i + 1]] = i;
  ReportSimilarity part{choice.candidates, {}, {}, choice.mean_similarity};
  for (const std::string& a : choice.candidates) {
    part.expert.push_back(std::find(choice.experts.begin(), choice.experts.end(), a) != choice.experts.end());
    for (const std::string& b : choice.candidates)
      part.matrix.push_back(scores.similarity[index.at(a) * bank + index.at(b)]);
  }
  return part;
}

std::vector<ReportStep> training_of(const H5Reader& file) {
  const auto step = file.read<std::int64_t>("step"), epoch = file.read<std::int64_t>("epoch"),
             tokens = file.read<std::int64_t>("target_tokens");
  const auto loss = file.read<double>("loss"), rate = file.read<double>("learning_rate"),
             norm = file.read<double>("gradient_norm");
  std::vector<ReportStep> steps;
  for (std::size_t i = 0; i < step.size(); ++i)
    steps.push_back({step[i], epoch[i], loss[i], rate[i], norm[i], tokens[i]});
  return steps;
}

ReportLoad load_of(const H5Reader& file) {
  ReportLoad part{file.read_strings("module"), file.read_strings("expert"), {}};
  const auto epoch = file.read<std::int64_t>("epoch");
  const auto load = file.read<float>("expert_load");
  const std::size_t cells = part.modules.size() * part.experts.size();
  part.share.assign(cells, 0.0);
  double steps = 0;
  for (std::size_t s = 0; s < epoch.size(); ++s) {
    if (epoch[s] != epoch.back()) continue;
    for (std::size_t c = 0; c < cells; ++c) part.share[c] += load[s * cells + c];
    ++steps;
  }
  for (double& share : part.share) share /= steps;
  return part;
}

std::vector<ReportJob> jobs_of(const RunDirectory& run) {
  std::vector<ReportJob> jobs;
  const Shown table = run_table(run, "jobs");
  for (const auto& row : std::get<Table>(table).rows) {
    if (row[1] == "absent" && !job_spec(row[0]).in_chain) continue;
    jobs.push_back(
        {row[0], row[1], row[4].is_null() ? std::nullopt : std::optional<double>(row[4].get<double>())});
  }
  return jobs;
}

std::vector<std::pair<std::string, std::string>> settings_of(const RunConfig& config) {
  return {
      {"base", config.base.path + " (" + config.base.dtype + ")"},
      {"shots", fmt::format("{} of {}", config.task.k, config.task.shots)},
      {"experts", fmt::format("{} of {} candidates", config.experts.count, config.experts.candidates)},
      {"records",
       fmt::format("{} retrieved, threshold {}", config.selection.retrieve, config.selection.threshold)},
      {"mixture", fmt::format("top {} per token, {} router", config.mixture.top_k, config.mixture.router)},
      {"training",
       fmt::format("{} epochs, learning rate {}", config.training.epochs, config.training.learning_rate)},
      {"seed", std::to_string(config.seed)}};
}

}  // namespace

ReportData gather_report(const Session& session) {
  const RunDirectory& run = session.run;
  ReportData data;
  data.run = run.root().string();
  data.task = session.config.task.name;
  data.version = version();
  data.config_path = session.config_file;
  data.settings = settings_of(session.config);
  data.jobs = jobs_of(run);
  if (fs::exists(run.file("evaluate.h5"))) {
    const StoredEvaluation result = read_evaluation_result(run);
    data.systems = systems_of(run, result);
    add_comparison(result, data);
    data.chance = chance_level(result.offered);
  }
  if (fs::exists(run.file("experts.json"))) {
    const BankScores scores = read_scores(run).bank;
    const ExpertChoice choice = read_expert_choice(run);
    data.bank = bank_of(scores, choice, session.config.seed);
    data.similarity = similarity_of(scores, choice);
  }
  if (fs::exists(run.file("select.h5"))) data.selection = report_selection(session);
  if (fs::exists(run.file("training.h5"))) {
    const H5Reader file = open_result(run, "training.h5");
    data.training = training_of(file);
    if (!data.training.empty()) data.load = load_of(file);
  }
  return data;
}

}  // namespace rocket
