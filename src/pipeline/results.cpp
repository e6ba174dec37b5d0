#include "pipeline/results.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "base/files.h"
#include "pipeline/options.h"
#include "pipeline/proof.h"
#include "training/checkpoint.h"

namespace rocket {

using nlohmann::json;

namespace {

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

std::optional<double> optional_number(const json& value) {
  return value.is_null() ? std::nullopt : std::optional<double>(value.get<double>());
}

json to_json(const AdapterStanding& s) {
  return {{"adapter", s.adapter},
          {"perplexity", s.perplexity},
          {"perplexity_se", or_null(s.perplexity_se)},
          {"accuracy", s.accuracy},
          {"accuracy_se", s.accuracy_se},
          {"place_perplexity", or_null(s.place_perplexity)},
          {"place_accuracy", or_null(s.place_accuracy)},
          {"place", or_null(s.place)},
          {"candidate", s.candidate},
          {"expert", s.expert}};
}

/// JSON has no infinity; nlohmann writes it as null.
double perplexity_from(const json& value) {
  return value.is_null() ? std::numeric_limits<double>::infinity() : value.get<double>();
}

AdapterStanding standing_from(const json& j) {
  return {j.at("adapter"),
          perplexity_from(j.at("perplexity")),
          j.at("accuracy"),
          optional_number(j.at("perplexity_se")),
          j.at("accuracy_se"),
          optional_number(j.at("place_perplexity")),
          optional_number(j.at("place_accuracy")),
          optional_number(j.at("place")),
          j.at("candidate"),
          j.at("expert")};
}

/// Runs `parse` on a file of ours; what does not fit becomes an error that names the file.
template <class F>
auto parse_own(const fs::path& file, F&& parse) {
  try {
    return parse();
  } catch (const json::exception& e) {
    fail_data("{}: not as rocket wrote it ({})", file.string(), e.what());
  }
}

}  // namespace

BankScores scores_without_shots(const std::vector<BankEntry>& entries,
                                const std::vector<AdapterFacts>& facts) {
  BankScores scores;
  scores.adapters = {"(base)"};
  for (const BankEntry& entry : entries) scores.adapters.push_back(entry.name);
  for (const AdapterFacts& adapter : facts) scores.effect.push_back(adapter.effect.value_or(true));
  scores.copy_of = first_copies(facts);
  return scores;
}

StoredScores read_scores(const RunDirectory& run) {
  const H5Reader file = open_result(run, "score.h5");
  StoredScores scores;
  scores.bank.adapters = file.read_strings("adapter");
  scores.shots = file.read<std::int64_t>("shot");
  const auto rows = static_cast<std::int64_t>(scores.bank.adapters.size());
  const auto shots = static_cast<std::int64_t>(scores.shots.size());
  scores.bank.shots = shots;
  scores.target_tokens = file.read<std::int32_t>("target_tokens", {shots});
  scores.bank.nll = file.read<double>("nll", {rows, shots});
  scores.bank.correct = file.read<std::uint8_t>("correct", {rows, shots});
  scores.bank.similarity = file.read<double>("similarity", {rows - 1, rows - 1});
  if (file.has("effect")) {  // not in runs of older versions, which can still be looked at
    scores.bank.effect = file.read<std::uint8_t>("effect", {rows - 1});
    scores.bank.copy_of = file.read<std::int64_t>("copy_of", {rows - 1});
  }
  if (file.has("chosen"))
    scores.chosen = file.read<std::int64_t>("chosen", {rows, shots});
  else
    scores.generations = file.read_strings("generation");
  return scores;
}

void write_expert_choice(const RunDirectory& run, const ExpertChoice& choice) {
  json standings = json::array();
  for (const AdapterStanding& s : choice.standings) standings.push_back(to_json(s));
  const json document = {{"experts", choice.experts},
                         {"candidates", choice.candidates},
                         {"tuples", choice.tuples},
                         {"mean_similarity", or_null(choice.mean_similarity)},
                         {"objective", or_null(choice.objective)},
                         {"notes", choice.notes},
                         {"standings", standings}};
  write_file(run.file("experts.json"), document.dump(1) + "\n");
}

ExpertChoice read_expert_choice(const RunDirectory& run) {
  const fs::path file = run.file("experts.json");
  return parse_own(file, [&] {
    const json document = json::parse(read_result(run, "experts.json"));
    ExpertChoice choice;
    choice.experts = document.at("experts").get<std::vector<std::string>>();
    choice.candidates = document.at("candidates").get<std::vector<std::string>>();
    choice.tuples = document.at("tuples");
    choice.mean_similarity = optional_number(document.at("mean_similarity"));
    choice.objective = optional_number(document.at("objective"));
    choice.notes =
        document.value("notes", std::vector<std::string>());  // absent where an earlier version wrote
    for (const json& s : document.at("standings")) choice.standings.push_back(standing_from(s));
    return choice;
  });
}

namespace {

/// What a chat template reads in place of the beginning of the instruction (chat_prompt.h).
void add_turns(const Record& record, nlohmann::ordered_json& line) {
  line["context_bytes"] = record.context_bytes;
  line["system"] = record.system;
  auto& before = line["before"] = nlohmann::ordered_json::array();
  for (const Turn& turn : record.before)
    before.push_back({turn.role == Role::user ? "user" : "assistant", turn.text});
}

void read_turns(const json& line, Record& record) {
  if (!line.contains("context_bytes")) return;
  record.context_bytes = line["context_bytes"];
  record.system = line.at("system");
  record.system_bytes = record.system.empty() ? 0 : record.system.size() + 2;  // a blank line
  if (record.context_bytes > record.instruction.size()) fail_data("context_bytes: more than the instruction");
  for (const json& turn : line.at("before"))
    record.before.push_back({turn.at(0) == "user" ? Role::user : Role::assistant, turn.at(1)});
}

}  // namespace

void write_selected(const RunDirectory& run, const std::vector<SelectedRecord>& records) {
  std::string lines;
  for (const SelectedRecord& selected : records) {
    nlohmann::ordered_json line = {{"record", selected.index},
                                   {"similarity", selected.similarity},
                                   {"instruction", selected.record.instruction},
                                   {"input", selected.record.input},
                                   {"output", selected.record.output}};
    if (selected.record.context_bytes > 0) add_turns(selected.record, line);
    lines += line.dump() + "\n";
  }
  write_file(run.file("selected.jsonl"), lines);
}

std::vector<SelectedRecord> read_selected(const RunDirectory& run) {
  const fs::path file = run.file("selected.jsonl");
  return parse_own(file, [&] {
    std::vector<SelectedRecord> selected;
    std::istringstream lines(read_result(run, "selected.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const json j = json::parse(line);
      SelectedRecord one{j.at("record"), j.at("similarity"), {}};
      one.record.instruction = j.at("instruction");
      one.record.input = j.at("input");
      one.record.output = j.at("output");
      read_turns(j, one.record);
      one.record.file = file.string();
      one.record.line = static_cast<std::int64_t>(selected.size()) + 1;
      selected.push_back(std::move(one));
    }
    return selected;
  });
}

namespace {

/// Of a table [S, I, C] the rows without the fill behind the last choice of an item.
std::vector<std::vector<double>> rows_of(const std::vector<double>& table,
                                         const std::vector<std::int64_t>& choices) {
  const auto widest = std::ranges::max(choices);
  std::vector<std::vector<double>> rows;
  for (auto at = table.begin(); at != table.end(); at += widest)
    rows.emplace_back(at, at + choices[rows.size() % choices.size()]);
  return rows;
}

StoredChoices read_choices(const H5Reader& file, const Shape& all, const std::vector<std::int64_t>& offered) {
  const auto logprobs = file.read<double>("logprob", {all[0], all[1], std::ranges::max(offered)});
  return {file.read<std::int64_t>("right_choice", {all[1]}), file.read<std::int64_t>("chosen", all),
          file.read<std::uint8_t>("correct_norm", all), file.read<std::uint8_t>("correct_bytes", all),
          rows_of(logprobs, offered)};
}

}  // namespace

StoredEvaluation read_evaluation_result(const RunDirectory& run) {
  const H5Reader file = open_result(run, "evaluate.h5");
  StoredEvaluation result;
  result.systems = file.read_strings("system");
  result.items = file.shape("item").at(0);
  const auto systems = static_cast<std::int64_t>(result.systems.size());
  result.correct = file.read<std::uint8_t>("correct", {systems, result.items});
  const bool of_choices = file.has("chosen");
  if (!of_choices) result.generations = file.read_strings("generation");
  if (file.has("tokens")) result.tokens = file.read<std::int64_t>("tokens", {systems, result.items});
  if (!file.has("gold")) return result;
  result.golds = file.read_strings("gold");
  result.offered = file.read<std::int64_t>("answers_offered", {result.items});
  if (of_choices) {
    result.choices = read_choices(file, {systems, result.items}, result.offered);
    return result;
  }
  const auto found = file.read<std::uint8_t>("found", {systems, result.items});
  const auto extracted = file.read_strings("extracted");
  for (std::size_t i = 0; i < found.size(); ++i)
    result.extracted.push_back(found[i] ? std::optional(extracted.at(i)) : std::nullopt);
  return result;
}

std::vector<double> read_evaluation_seconds(const RunDirectory& run, const StoredEvaluation& result) {
  return open_result(run, "evaluate_seconds.h5")
      .read<double>("seconds", {static_cast<std::int64_t>(result.systems.size()), result.items});
}

std::optional<std::int64_t> StoredEvaluation::tokens_of(std::size_t system) const {
  if (tokens.empty()) return std::nullopt;
  const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(system) * items;
  return std::accumulate(begin, begin + items, std::int64_t{0});
}

std::int64_t StoredEvaluation::correct_of(std::size_t system) const {
  const auto begin = correct.begin() + static_cast<std::ptrdiff_t>(system) * items;
  return std::count(begin, begin + items, 1);
}

double StoredEvaluation::accuracy(std::size_t system) const {
  return static_cast<double>(correct_of(system)) / static_cast<double>(items);
}

double StoredEvaluation::standard_error(std::size_t system) const {
  const double p = accuracy(system);
  return std::sqrt(p * (1 - p) / static_cast<double>(items));
}

std::optional<std::int64_t> StoredEvaluation::nothing_found(std::size_t system) const {
  if (choices) return 0;
  if (golds.empty()) return std::nullopt;
  const auto begin = extracted.begin() + static_cast<std::ptrdiff_t>(system) * items;
  return std::count(begin, begin + items, std::nullopt);
}

LoraAdapter adapter_of_bank(const RunConfig& config, const std::string& name, std::span<const Module> modules,
                            at::ScalarType dtype, at::Device device) {
  const std::vector<BankEntry> bank = configured_bank(config);
  const BankEntry* entry = find_entry(bank, name);
  if (!entry) fail_data("adapter '{}' is not in the bank any more", name);
  const ModelWeights base(config.base.path);
  return load_adapter(LoraFile(entry->folder, modules, &base, name), dtype, device);
}

Mixture initial_mixture(const Session& session, std::span<const Module> modules, at::Device device) {
  std::vector<LoraAdapter> experts;
  for (const std::string& name : read_expert_choice(session.run).experts)
    experts.push_back(adapter_of_bank(session.config, name, modules, at::kFloat, device));
  return Mixture::assemble(experts, modules, mixture_options(session.config), device);
}

void restore_trained(const Session& session, const JobSpec& job, const TrainingFiles& files,
                     Mixture& mixture) {
  const auto record = read_record(session.run, job.name);
  const auto snapshot = load_newest_checkpoint(files.checkpoints, mixture, record ? record->fingerprint : "");
  const std::string command = session.command(job.command());
  if (!snapshot)
    fail_data("{}: no checkpoint; `{} --fresh` makes them anew", files.checkpoints.string(), command);
  const std::string log = files.record.lexically_relative(session.run.root()).string();
  const std::int64_t planned = open_result(session.run, log).shape("step").at(0);
  if (snapshot->step != planned)
    fail_data("{}: the newest checkpoint is that of step {} of {}; `{}` goes on from there",
              files.checkpoints.string(), snapshot->step, planned, command);
  const at::Tensor trained =
      at::from_blob(const_cast<float*>(snapshot->parameters.data()),
                    {static_cast<std::int64_t>(snapshot->parameters.size())}, at::kFloat);
  mixture.flat().copy_(trained);
}

Mixture trained_mixture(const Session& session, std::span<const Module> modules, at::Device device) {
  Mixture mixture = initial_mixture(session, modules, device);
  restore_trained(session, job_spec("finetune"), session.run.expert_training(), mixture);
  return mixture;
}

}  // namespace rocket
