// The rivals that are trained, as they are before it. They have the expert's records, epochs and trainer.
#pragma once

#include <string>

#include "moe/mixture.h"
#include "pipeline/rival_sources.h"
#include "training/trainer.h"

namespace rocket {

/// A lone adapter is a mixture of one expert, whose gate is 1.
struct TunedRival {
  Mixture mixture;
  TrainingOptions options;  // those of the configuration, but for what makes the rival
};

/// One of `tuned_rivals`, by name:
///
///   best_single_tuned     the adapter with the most right answers on the shots
///   task_lora             one LoRA from zero on all modules that the experts adapt, of about as many
///                         parameters as the mixture has, routers included; its scale is that of
///                         adapter.alpha and adapter.rank
///   merge_tuned           the mean of the experts' delta W, by concatenation of ranks
///   random_experts_tuned  a mixture of as many adapters drawn from the bank
///   random_weights_tuned  a mixture of the experts with A and B drawn anew, of equal norms: the control of
///                         arXiv 2602.12323
///   mixlora               a mixture of LoRA from zero, of the experts' modules, ranks and scales: MixLoRA
///                         (Li et al. 2024, arXiv 2404.15159)
///   router_only           the experts' mixture, whose routers alone are trained
///
/// Mixtures have the settings of `mixture`. A LoRA from zero starts as fresh_adapter says.
TunedRival start_of_tuned(const std::string& name, RivalSources& sources);

}  // namespace rocket
