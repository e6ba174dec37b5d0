// Training at the learning rate that is best on shots which are held out for it: evaluation.tune.
#pragma once

#include "pipeline/training_run.h"

namespace rocket {

/// Collective. Trains `mixture` in place as train_and_record does. Where evaluation.tune names learning rates
/// it is first trained at each of them on what is left when the last fifth of the shots (rounded up) is held
/// out; the rate whose held-out nll is lowest (of equal ones the first) then trains it from its start on
/// everything. The nll is the mean over shots of the mean over their target tokens. What was tried stands in
/// files.rates.
JobEnd train_at_best_rate(JobContext& context, const Decoder& decoder, Mixture& mixture,
                          const TrainingSet& set, TrainingOptions options, const TrainingFiles& files);

}  // namespace rocket
