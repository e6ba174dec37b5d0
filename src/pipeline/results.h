// What the jobs leave in the run directory, read back as values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "adapters/bank.h"
#include "moe/mixture.h"
#include "pipeline/job_spec.h"
#include "pipeline/session.h"
#include "selection/corpus_choice.h"
#include "selection/expert_choice.h"
#include "text/record.h"

namespace rocket {

/// score.h5.
struct StoredScores {
  BankScores bank;
  std::vector<std::int64_t> shots;          // [K] places in the shots file
  std::vector<std::int32_t> target_tokens;  // [K]
  std::vector<std::string> generations;     // [A + 1, K]; empty of a task that ranks choices:
  std::vector<std::int64_t> chosen;         // [A + 1, K] the likeliest choice, from 0
};
StoredScores read_scores(const RunDirectory& run);

/// What reading the bank alone shows: names, effects and copies.
BankScores scores_without_shots(const std::vector<BankEntry>& entries,
                                const std::vector<AdapterFacts>& facts);

/// experts.json.
void write_expert_choice(const RunDirectory& run, const ExpertChoice& choice);
ExpertChoice read_expert_choice(const RunDirectory& run);

/// A kept record of selected.jsonl, in walk order. The line of a chat also has what a chat template reads:
/// `system`, the earlier turns as `before`, [role, text] each, and how many bytes of `instruction` repeat
/// them.
struct SelectedRecord {
  std::int64_t index = 0;
  double similarity = 0;
  Record record;
};
void write_selected(const RunDirectory& run, const std::vector<SelectedRecord>& records);
std::vector<SelectedRecord> read_selected(const RunDirectory& run);

/// Of a task that ranks choices.
struct StoredChoices {
  std::vector<std::int64_t> right;            // [I] the right choice, from 0
  std::vector<std::int64_t> chosen;           // [S, I] the likeliest choice
  std::vector<std::uint8_t> correct_norm;     // [S, I] by characters
  std::vector<std::uint8_t> correct_bytes;    // [S, I]
  std::vector<std::vector<double>> logprobs;  // [S, I] of each choice
};

/// evaluate.h5.
struct StoredEvaluation {
  std::vector<std::string> systems;
  std::int64_t items = 0;
  std::vector<std::uint8_t> correct;     // [S, I]
  std::vector<std::string> generations;  // [S, I]; empty where there are choices
  std::optional<StoredChoices> choices;
  /// Empty in a file that an earlier version wrote.
  std::vector<std::int64_t> tokens;  // [S, I] the prompt once, and what is generated or all choices
  /// Empty in a file that an earlier version wrote.
  std::vector<std::string> golds;                     // [I]
  std::vector<std::int64_t> offered;                  // [I] answers to choose from; 0: not known
  std::vector<std::optional<std::string>> extracted;  // [S, I]; nullopt: nothing was found

  std::int64_t correct_of(std::size_t system) const;
  /// Of all items; nullopt in a file of an earlier version.
  std::optional<std::int64_t> tokens_of(std::size_t system) const;
  double accuracy(std::size_t system) const;
  /// Binomial, of the accuracy.
  double standard_error(std::size_t system) const;
  /// Of a system, generations in which no answer was found, 0 where there are choices; nullopt in a file of
  /// an earlier version.
  std::optional<std::int64_t> nothing_found(std::size_t system) const;
};
StoredEvaluation read_evaluation_result(const RunDirectory& run);

/// evaluate_seconds.h5 [S, I]: the share of each answer in the time of the batches that it was part of.
std::vector<double> read_evaluation_seconds(const RunDirectory& run, const StoredEvaluation& result);

/// An adapter of the configured bank by its name there.
LoraAdapter adapter_of_bank(const RunConfig& config, const std::string& name, std::span<const Module> modules,
                            at::ScalarType dtype, at::Device device);

/// The mixture that starts from the chosen experts, untrained.
Mixture initial_mixture(const Session& session, std::span<const Module> modules, at::Device device);

/// Gives a mixture the parameters of the last checkpoint of a job that trains it. Throws data (65) where it
/// is not there, or not that of the last step.
void restore_trained(const Session& session, const JobSpec& job, const TrainingFiles& files,
                     Mixture& mixture);

/// The mixture of the chosen experts as `finetune` left it.
Mixture trained_mixture(const Session& session, std::span<const Module> modules, at::Device device);

}  // namespace rocket
