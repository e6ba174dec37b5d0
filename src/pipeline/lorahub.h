// LoraHub: one weight for each expert, found on the shots without gradients.
#pragma once

#include "pipeline/rival_sources.h"
#include "pipeline/runner.h"

namespace rocket {

inline constexpr int kLoraHubTrials = 40;

/// Root only. LoraHub (Huang et al. 2023, arXiv 2307.13269): finds the weights of weighted_merge for the
/// experts and writes rivals/lorahub/weights.h5: `expert` [N], and of each trial `weight` [T, N] and
/// `objective` [T]. The objective is the nll of the shots, the mean over shots of the mean over target
/// tokens, plus 0.05 times the mean of |w_i|, as the authors' program has it; w_i lies in [-1.5, 1.5], and
/// there are 40 trials. The first is the base, w = 0; the others are those of NLopt's COBYLA, which starts
/// from w_i = 0.5. What an interrupted attempt has tried is not computed again.
JobEnd fit_lorahub(JobContext& context, RivalSources& sources);

/// The merge with the weights of the best trial.
LoraAdapter fitted_lorahub(const Session& session, RivalSources& sources);

}  // namespace rocket
