#include "training/trainer.h"

#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/stop.h"
#include "moe/mixture_delta.h"
#include "training/micro_batch.h"
#include "training/optimizer.h"

namespace rocket {
namespace {

using Clock = std::chrono::steady_clock;

std::span<std::byte> bytes_of(at::Tensor& host) {
  return {static_cast<std::byte*>(host.mutable_data_ptr()), host.nbytes()};
}

std::vector<float> to_vector(const at::Tensor& values_P) {
  const at::Tensor host = values_P.to(at::kCPU).contiguous();
  return {host.const_data_ptr<float>(), host.const_data_ptr<float>() + host.numel()};
}

/// Everything that is summed over ranks after the forward and backward passes of a step, as one float32
/// buffer.
struct StepSums {
  StepSums(const Mixture& mixture, std::int64_t loads)
      : all(at::zeros({mixture.flat().numel() + 1 + loads}, mixture.flat().options())),
        gradient_P(all.narrow(0, 0, mixture.flat().numel())),
        nll(all.narrow(0, mixture.flat().numel(), 1)),
        choices(all.narrow(0, mixture.flat().numel() + 1, loads)) {}

  at::Tensor all;
  at::Tensor gradient_P, nll, choices;  // views
};

/// Numbers of a global batch that every rank knows beforehand.
struct BatchTotals {
  std::int64_t targets = 0, rows = 0;
};

class Trainer {
 public:
  Trainer(Comm& comm, Reducer& reducer, const Decoder& decoder, Mixture& mixture,
          const std::vector<Example>& examples, const TrainingOptions& options)
      : comm_(comm),
        reducer_(reducer),
        decoder_(decoder),
        mixture_(mixture),
        examples_(examples),
        options_(options),
        batches_(global_batches(static_cast<std::int64_t>(examples.size()), options)),
        loads_(static_cast<std::int64_t>(mixture.modules().size() * mixture.expert_names().size())),
        sums_(mixture, loads_),
        optimizer_(mixture, sums_.gradient_P, {options.weight_decay, options.router_only}) {
    mixture_.track_gradient(sums_.gradient_P, options.router_only);
  }
  ~Trainer() { mixture_.track_gradient({}); }
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  TrainingEnd run(const Snapshot* resume, const TrainingHooks& hooks);

 private:
  std::int64_t steps() const { return static_cast<std::int64_t>(batches_.size()); }
  void check_examples() const;
  void restore(const Snapshot* resume);
  void broadcast(at::Tensor& values_P);
  BatchTotals totals(const std::vector<std::int64_t>& batch) const;
  void compute(const std::vector<std::int64_t>& batch, const BatchTotals& totals);
  void compute_micro_batch(const MicroBatch& micro_batch, const BatchTotals& totals);
  StepLog update(const std::vector<std::int64_t>& batch, const BatchTotals& totals);
  std::vector<float> expert_load() const;
  StepLog step();
  Snapshot snapshot();

  Comm& comm_;
  Reducer& reducer_;
  const Decoder& decoder_;
  Mixture& mixture_;
  const std::vector<Example>& examples_;
  const TrainingOptions& options_;
  const std::vector<std::vector<std::int64_t>> batches_;
  const std::int64_t loads_;
  StepSums sums_;
  AdamW optimizer_;
  std::int64_t step_ = 0;     // updates done
  std::vector<StepLog> log_;  // root only
};

void Trainer::check_examples() const {
  if (options_.epochs > 0 && examples_.empty()) fail_data("there is no example to train on");
  for (std::size_t i = 0; i < examples_.size(); ++i) {
    const auto length = static_cast<std::int64_t>(examples_[i].ids.size());
    if (length > decoder_.config().max_positions) {
      fail_data("training example {}: {} tokens, but the model has {} positions; lower training.cutoff", i,
                length, decoder_.config().max_positions);
    }
  }
}

void Trainer::broadcast(at::Tensor& values_P) {
  at::Tensor host = values_P.to(at::kCPU).contiguous();
  comm_.broadcast(bytes_of(host), 0);
  values_P.copy_(host);
}

/// Root alone decides where training starts, so that ranks which saw different files cannot drift apart.
void Trainer::restore(const Snapshot* resume) {
  const at::NoGradGuard no_grad;
  on_root(comm_, [&] {
    if (resume == nullptr) return;
    const auto size = static_cast<std::size_t>(mixture_.flat().numel());
    if (resume->parameters.size() != size || resume->first_moment.size() != size ||
        resume->second_moment.size() != size || resume->step > steps()) {
      fail_internal("the snapshot of step {} does not fit the mixture or the {} steps", resume->step,
                    steps());
    }
    const auto copy = [](const std::vector<float>& from, at::Tensor& to) {
      to.copy_(at::from_blob(const_cast<float*>(from.data()), {to.numel()}, at::kFloat));
    };
    copy(resume->parameters, mixture_.flat());
    copy(resume->first_moment, optimizer_.first_moment());
    copy(resume->second_moment, optimizer_.second_moment());
    step_ = resume->step;
    log_ = resume->log;
  });
  comm_.broadcast(std::as_writable_bytes(std::span(&step_, 1)), 0);
  broadcast(mixture_.flat());
  broadcast(optimizer_.first_moment());
  broadcast(optimizer_.second_moment());
}

BatchTotals Trainer::totals(const std::vector<std::int64_t>& batch) const {
  BatchTotals sum;
  for (const std::int64_t index : batch) {
    const Example& example = examples_[static_cast<std::size_t>(index)];
    sum.targets += predicted_tokens(example);
    sum.rows += static_cast<std::int64_t>(example.ids.size()) - 1;
  }
  return sum;
}

void Trainer::compute(const std::vector<std::int64_t>& batch, const BatchTotals& totals) {
  sums_.all.zero_();
  for (const auto& chosen :
       micro_batches(examples_, batch, comm_.rank(), comm_.size(), options_.micro_batch_tokens)) {
    compute_micro_batch(lay_out(examples_, chosen, decoder_.device()), totals);
  }
}

void Trainer::compute_micro_batch(const MicroBatch& micro_batch, const BatchTotals& totals) {
  const double share = static_cast<double>(micro_batch.rows.tokens()) /
                       static_cast<double>(totals.rows * static_cast<std::int64_t>(mixture_.modules().size()));
  MixtureDelta delta(mixture_, {options_.lora_dropout, options_.seed, step_ + 1, micro_batch.records},
                     {options_.balance_coefficient * share, options_.z_coefficient * share});
  at::Tensor objective;
  {
    const at::AutoGradMode with_grad(true);
    const at::Tensor hidden_TD = decoder_.hidden(micro_batch.rows, &delta);
    const at::Tensor nll =
        decoder_.nll(hidden_TD.index_select(0, micro_batch.predicting_Q), micro_batch.targets_Q).sum();
    sums_.nll.add_(nll.detach());
    objective = nll / static_cast<double>(std::max<std::int64_t>(totals.targets, 1));
  }
  objective.backward();
  std::vector<float> choices;
  for (const auto& module : delta.choices()) choices.insert(choices.end(), module.begin(), module.end());
  sums_.choices.add_(at::tensor(choices, at::kFloat).to(sums_.choices.device()));
}

std::vector<float> Trainer::expert_load() const {
  std::vector<float> load = to_vector(sums_.choices);
  const std::size_t experts = mixture_.expert_names().size();
  for (std::size_t row = 0; row < load.size(); row += experts) {
    float sum = 0;
    for (std::size_t i = 0; i < experts; ++i) sum += load[row + i];
    for (std::size_t i = 0; i < experts; ++i) load[row + i] = sum > 0 ? load[row + i] / sum : 0;
  }
  return load;
}

StepLog Trainer::update(const std::vector<std::int64_t>& batch, const BatchTotals& totals) {
  const at::NoGradGuard no_grad;
  StepLog log{.step = step_ + 1};
  log.epoch = step_ / (steps() / options_.epochs);
  log.target_tokens = totals.targets;
  log.learning_rate = learning_rate_at(options_, log.step, steps());
  log.loss = sums_.nll.item<double>() / static_cast<double>(std::max<std::int64_t>(totals.targets, 1));
  log.gradient_norm = l2_norm(sums_.gradient_P);
  if (!std::isfinite(log.loss) || !std::isfinite(log.gradient_norm)) {
    fail_data(
        "step {}: loss {} and gradient norm {} are not both finite; the batch holds the examples {}. Lower "
        "training.learning_rate, or look at these records",
        log.step, log.loss, log.gradient_norm, fmt::join(batch, " "));
  }
  log.expert_load = expert_load();
  const double clip = options_.clip / (log.gradient_norm + 1e-6);
  if (options_.clip > 0 && clip < 1) sums_.gradient_P.mul_(clip);
  optimizer_.update(log.learning_rate, log.step);
  return log;
}

StepLog Trainer::step() {
  const auto start = Clock::now();
  const auto& batch = batches_[static_cast<std::size_t>(step_)];
  const BatchTotals batch_totals = totals(batch);
  agree(comm_, [&] { compute(batch, batch_totals); });
  reducer_.sum(comm_, sums_.all.mutable_data_ptr<float>(), static_cast<std::size_t>(sums_.all.numel()));
  StepLog log;
  agree(comm_, [&] { log = update(batch, batch_totals); });
  ++step_;
  log.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return log;
}

Snapshot Trainer::snapshot() {
  return {step_, to_vector(mixture_.flat()), to_vector(optimizer_.first_moment()),
          to_vector(optimizer_.second_moment()), log_};
}

TrainingEnd Trainer::run(const Snapshot* resume, const TrainingHooks& hooks) {
  agree(comm_, [&] { check_examples(); });
  restore(resume);
  const auto checkpoint = [&] { on_root(comm_, [&] { hooks.checkpoint(snapshot()); }); };
  if (steps() == 0) checkpoint();
  while (step_ < steps()) {
    if (any_rank(comm_, stop_requested())) {
      checkpoint();
      return TrainingEnd::stopped;
    }
    StepLog log = step();
    on_root(comm_, [&] {
      hooks.step(log);
      log_.push_back(std::move(log));
    });
    if (step_ == steps() || step_ % options_.checkpoint_every == 0) checkpoint();
  }
  return TrainingEnd::finished;
}

}  // namespace

TrainingEnd train(Comm& comm, Reducer& reducer, const Decoder& decoder, Mixture& mixture,
                  const std::vector<Example>& examples, const TrainingOptions& options,
                  const Snapshot* resume, const TrainingHooks& hooks) {
  return Trainer(comm, reducer, decoder, mixture, examples, options).run(resume, hooks);
}

}  // namespace rocket
