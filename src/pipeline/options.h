// From the configuration to each module's own options.
#pragma once

#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/bank.h"
#include "adapters/similarity.h"
#include "config/run_config.h"
#include "moe/mixture.h"
#include "scoring/answer_reader.h"
#include "selection/corpus_choice.h"
#include "selection/expert_choice.h"
#include "text/prompt.h"
#include "text/task_form.h"
#include "training/trainer.h"

namespace rocket {

at::ScalarType compute_type(const RunConfig& config);
std::vector<BankEntry> configured_bank(const RunConfig& config);
/// The adapter that generate.system names. Throws config (78), with the nearest name, if there is none.
BankEntry system_of_bank(const RunConfig& config);
PromptTemplate prompt_template(const RunConfig& config);
/// "2024-07-26" as the begin of that day. Throws config (78) naming the setting.
std::tm day_in(std::string_view setting, const std::string& text);
AnswerReader answer_reader(const RunConfig& config);
TaskForm task_form(const RunConfig& config);
SimilarityKind similarity_kind(const RunConfig& config);
ExpertOptions expert_options(const RunConfig& config);
SelectionOptions selection_options(const RunConfig& config);
MixtureOptions mixture_options(const RunConfig& config);
TrainingOptions training_options(const RunConfig& config);

}  // namespace rocket
