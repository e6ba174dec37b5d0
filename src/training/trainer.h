// Fine-tuning: the global batch, the update, and what is kept between steps.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "comm/comm.h"
#include "comm/reducer.h"
#include "model/decoder.h"
#include "moe/mixture.h"
#include "text/example.h"

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
  std::int64_t checkpoint_every = 50;
  std::int64_t keep_checkpoints = 2;
  std::uint64_t seed = 0;
};

/// One update, as it is logged and stored.
struct StepLog {
  std::int64_t step = 0, epoch = 0;  // step from 1, epoch from 0
  double loss = 0, learning_rate = 0, gradient_norm = 0;
  std::int64_t target_tokens = 0;
  double seconds = 0;
  std::vector<float> expert_load;  // [W * N] share of choices, rows sum to 1
};

/// All that a run needs to go on bit by bit.
struct Snapshot {
  std::int64_t step = 0;  // updates done
  std::vector<float> parameters, first_moment, second_moment;
  std::vector<StepLog> log;
};

enum class TrainingEnd { finished, stopped };

struct TrainingHooks {
  std::function<void(const StepLog&)> step;  // root only, after each update
  std::function<void(const Snapshot&)>
      checkpoint;  // root only: every checkpoint_every steps, on a stop, at the end
};

/// The learning rate of update `step` (from 1) of `steps`. INTERFACE section 9.
double learning_rate_at(const TrainingOptions& options, std::int64_t step, std::int64_t steps);

/// Examples of each update: a function of (seed, epoch) alone. batches[step][i] = index of an example.
std::vector<std::vector<std::int64_t>> global_batches(std::int64_t examples, const TrainingOptions& options);

/// Truncates to `cutoff`, drops examples without a target left; counts both.
struct CutoffCount {
  std::int64_t truncated = 0, dropped = 0;
};
std::vector<Example> apply_cutoff(std::vector<Example> examples, std::int64_t cutoff, CutoffCount& count);

/// Collective. Trains `mixture` in place, from root's `resume` if that is not null; root's parameters go to
/// all ranks. `examples` are the same on every rank. Throws data (65) if there is none, if one is longer than
/// the model's positions, or if a loss or gradient is not finite, naming the step and its records: nothing is
/// kept of that step. The balance loss is taken over the micro-batches of each rank and averaged by their
/// tokens.
TrainingEnd train(Comm& comm, Reducer& reducer, const Decoder& decoder, Mixture& mixture,
                  const std::vector<Example>& examples, const TrainingOptions& options,
                  const Snapshot* resume, const TrainingHooks& hooks);

}  // namespace rocket
