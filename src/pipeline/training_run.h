// What the jobs that train share: their examples, their checkpoints, their log.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "pipeline/runner.h"
#include "pipeline/task_data.h"
#include "training/trainer.h"

namespace rocket {

/// What is trained on, and where each record comes from, for messages.
struct TrainingSet {
  std::vector<Example> examples;
  std::vector<std::string> places;

  void add(Example example, std::string place);
};

/// Takes the end of examples beyond training.cutoff, with a word in the log about what it cost. Throws data
/// (65) if no example has a target left.
void cut(TrainingSet& set, const RunConfig& config, const BaseText& text);

struct TrainingFiles {
  std::filesystem::path checkpoints;  // folder
  std::filesystem::path record;       // training.h5: docs/interface.md section 4
};

/// Collective. Trains `mixture` in place from its newest checkpoint, if there is one; one line of log and one
/// event a step.
JobEnd train_and_record(JobContext& context, const Decoder& decoder, Mixture& mixture, const TrainingSet& set,
                        const TrainingOptions& options, const TrainingFiles& files);

}  // namespace rocket
