// Fine-tuning: the global batch, the update, and what is kept between steps.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "comm/comm.h"
#include "comm/reducer.h"
#include "model/decoder.h"
#include "moe/mixture.h"
#include "text/example.h"
#include "training/step_log.h"

namespace rocket {

enum class Schedule { cosine, linear, constant };

struct TrainingOptions {
  bool router_only = false;
  double learning_rate = 5e-5;
  std::int64_t epochs = 5;
  std::int64_t global_batch = 32;
  std::int64_t micro_batch_tokens = 4096;
  std::int64_t cutoff = 1024;
  double warmup = 0.03;
  Schedule schedule = Schedule::cosine;
  double weight_decay = 1e-4;
  double clip = 1.0;
  double lora_dropout = 0.05;
  double balance_coefficient = 0, z_coefficient = 0;
  bool recompute_layers = false;  // see Decoder::hidden_for_training
  double spike_z = 0;             // 0: never
  std::int64_t checkpoint_every = 50;
  std::int64_t keep_checkpoints = 2;
  std::uint64_t seed = 0;
};

/// All that a run needs to go on bit by bit. The place in the data follows from the step, and random numbers
/// are functions of the seed and of what they are for: neither has a state of its own.
struct Snapshot {
  std::int64_t step = 0;  // updates done
  std::vector<float> parameters, first_moment, second_moment;
  std::vector<StepLog> log;
};

enum class TrainingEnd { finished, stopped };

/// Called on root only.
struct TrainingHooks {
  std::function<void(const StepLog&)> step;         // after each update
  std::function<void(const Snapshot&)> checkpoint;  // every checkpoint_every steps, on a stop, at the end
  std::function<std::string(std::int64_t)>
      example;                                   // where an example comes from, for messages; may be empty
  std::function<std::string()> last_checkpoint;  // what a stopped run goes on from; may be empty
};

/// The learning rate of update `step` (from 1) of `steps`. docs/method.md section 8.
double learning_rate_at(const TrainingOptions& options, std::int64_t step, std::int64_t steps);

/// Examples of each update: a function of (seed, epoch) alone. batches[step][i] = index of an example.
std::vector<std::vector<std::int64_t>> global_batches(std::int64_t examples, const TrainingOptions& options);

/// Truncates to `cutoff`, drops examples without a target left; says of both which they are.
struct CutoffCount {
  std::int64_t truncated = 0;
  std::vector<std::int64_t> dropped;  // Example::record of each
};
std::vector<Example> apply_cutoff(std::vector<Example> examples, std::int64_t cutoff, CutoffCount& count);

/// Collective. Trains `mixture` in place, from root's `resume` if that is not null; root's parameters go to
/// all ranks. `examples` are the same on every rank. Throws data (65) if there is none, if one is longer than
/// the model's positions, or if a loss or gradient is not finite or the loss a spike, naming the step, its
/// records and the last checkpoint: nothing is kept of that step. The balance loss is taken over each
/// micro-batch and averaged by their tokens.
TrainingEnd train(Comm& comm, Reducer& reducer, const Decoder& decoder, Mixture& mixture,
                  const std::vector<Example>& examples, const TrainingOptions& options,
                  const Snapshot* resume, const TrainingHooks& hooks);

}  // namespace rocket
