#include "pipeline/training_run.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "pipeline/options.h"
#include "pipeline/results.h"
#include "store/hdf5.h"
#include "training/checkpoint.h"
#include "training/copying_reducer.h"
#include "training/fixed_order_reducer.h"

namespace rocket {

namespace {

void write_training(const std::filesystem::path& file, const Mixture& mixture,
                    std::span<const Module> modules, const std::vector<StepLog>& log) {
  std::vector<std::int64_t> step, epoch, target_tokens;
  std::vector<double> loss, learning_rate, gradient_norm, seconds;
  std::vector<float> load;
  for (const StepLog& s : log) {
    step.push_back(s.step);
    epoch.push_back(s.epoch);
    target_tokens.push_back(s.target_tokens);
    loss.push_back(s.loss);
    learning_rate.push_back(s.learning_rate);
    gradient_norm.push_back(s.gradient_norm);
    seconds.push_back(s.seconds);
    load.insert(load.end(), s.expert_load.begin(), s.expert_load.end());
  }
  std::vector<std::string> names;
  for (const MixtureModule& module : mixture.modules()) names.push_back(modules[module.module].name);
  const auto steps = static_cast<std::int64_t>(log.size()), weights = static_cast<std::int64_t>(names.size()),
             experts = static_cast<std::int64_t>(mixture.expert_names().size());
  H5Writer out(file);
  out.write("step", step);
  out.write("epoch", epoch);
  out.write("loss", loss);
  out.write("learning_rate", learning_rate);
  out.write("gradient_norm", gradient_norm);
  out.write("target_tokens", target_tokens);
  out.write("seconds", seconds);
  out.write_strings("module", names, {weights});
  out.write_strings("expert", mixture.expert_names(), {experts});
  out.write("expert_load", load, {steps, weights, experts});
  out.commit();
}

std::unique_ptr<Reducer> reducer_for(Comm& comm, at::Device device, const std::string& reduction) {
  if (reduction == "deterministic") return make_fixed_order_reducer(device);
  if (device.is_cpu() || comm.size() == 1) return make_host_reducer();
  return device.is_cuda() ? make_nccl_reducer(comm, device.index()) : make_copying_reducer(device);
}

/// Root's eyes and hands during training: the step line, the checkpoints, the record.
class TrainingRecorder {
 public:
  TrainingRecorder(JobContext& context, const Mixture& mixture, const TrainingFiles& files,
                   std::int64_t steps, const Snapshot& from)
      : context_(context),
        mixture_(mixture),
        files_(files),
        progress_(context.record.job, "steps", steps, from.step),
        last_(from) {
    if (from.step > 0) last_file_ = checkpoint_path(files.checkpoints, from.step);
    context.record.parts_total = steps;
    context.record.parts_done = from.step;
  }

  void step(const StepLog& log) {
    const double rate = static_cast<double>(log.target_tokens) / log.seconds;
    const auto gib = [](std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 30); };
    const std::string on_gpu = log.device_memory_bytes > 0
                                   ? fmt::format(", of the GPU {:.2f} GiB", gib(log.device_memory_bytes))
                                   : "";
    log::detail(
        "{}: step {:5} epoch {} loss {:.5f} lr {:.2e} gradient {:.4f} {:.0f} target tokens/s padding {:.1f} "
        "% "
        "load entropy {:.3f} memory {:.2f} GiB{} {:.3f} s",
        context_.record.job, log.step, log.epoch, log.loss, log.learning_rate, log.gradient_norm, rate,
        100 * log.padding, log.load_entropy, gib(log.memory_bytes), on_gpu, log.seconds);
    progress_.advance(1, fmt::format("loss {:.4f} {:.0f} target tokens/s", log.loss, rate));
    context_.events.write("step", {{"step", log.step},
                                   {"epoch", log.epoch},
                                   {"loss", log.loss},
                                   {"learning_rate", log.learning_rate},
                                   {"gradient_norm", log.gradient_norm},
                                   {"target_tokens", log.target_tokens},
                                   {"target_tokens_per_second", rate},
                                   {"padding", log.padding},
                                   {"load_entropy", log.load_entropy},
                                   {"memory_bytes", log.memory_bytes},
                                   {"device_memory_bytes", log.device_memory_bytes},
                                   {"seconds", log.seconds}});
  }

  void checkpoint(const Snapshot& snapshot) {
    const auto start = std::chrono::steady_clock::now();
    last_file_ = save_checkpoint(files_.checkpoints, snapshot, mixture_, context_.record.fingerprint,
                                 context_.session.config.training.keep_checkpoints);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const auto bytes = fs::file_size(last_file_);
    context_.record.parts_done = snapshot.step;
    context_.save_progress();
    log::detail("{}: checkpoint of step {}: {:.1f} MB in {:.2f} s", context_.record.job, snapshot.step,
                static_cast<double>(bytes) / 1e6, seconds);
    context_.events.write("checkpoint", {{"step", snapshot.step}, {"bytes", bytes}, {"seconds", seconds}});
    last_ = snapshot;
  }

  std::string last_file() const { return last_file_.string(); }
  const Snapshot& last() const { return last_; }

 private:
  JobContext& context_;
  const Mixture& mixture_;
  const TrainingFiles& files_;
  Progress progress_;
  Snapshot last_;
  fs::path last_file_;
};

}  // namespace

void TrainingSet::add(Example example, std::string place) {
  example.record = static_cast<std::int64_t>(places.size());
  examples.push_back(std::move(example));
  places.push_back(std::move(place));
}

namespace {

/// Where the first few of these records come from, and how many there are besides.
std::string places_of(const TrainingSet& set, const std::vector<std::int64_t>& records) {
  constexpr std::size_t most_places = 20;
  std::string text;
  for (std::size_t i = 0; i < std::min(most_places, records.size()); ++i)
    text += fmt::format("{}{}", i > 0 ? ", " : "", set.places.at(static_cast<std::size_t>(records[i])));
  if (records.size() > most_places) text += fmt::format(" and {} more", records.size() - most_places);
  return text;
}

}  // namespace

TrainingSet expert_training_set(const Session& session, const BaseText& text) {
  TrainingSet set;
  for (const SelectedRecord& selected : read_selected(session.run))
    set.add(text.example(selected.record),
            fmt::format("{} (record {} of the corpus)", place(selected.record), selected.index));
  for (const Question& shot : read_shots(session.config, answer_reader(session.config)))
    set.add(text.example(shot.record), place(shot.record));
  return set;
}

void cut(TrainingSet& set, const RunConfig& config, const BaseText& text) {
  const std::int64_t cutoff = std::min(config.training.cutoff, text.model().max_positions);
  CutoffCount count;
  set.examples = apply_cutoff(std::move(set.examples), cutoff, count);
  if (count.truncated > 0)
    log::warn("training: {} examples lost their end at {} tokens", count.truncated, cutoff);
  if (!count.dropped.empty())
    log::warn("training: {} examples had no target left at {} tokens and were dropped: {}",
              count.dropped.size(), cutoff, places_of(set, count.dropped));
  if (set.examples.empty())
    fail_data("nothing to train on: every example lost its target at {} tokens", cutoff);
}

JobEnd train_and_record(JobContext& context, const Decoder& decoder, Mixture& mixture, const TrainingSet& set,
                        const TrainingOptions& options, const TrainingFiles& files) {
  Comm& comm = context.session.comm;
  std::optional<Snapshot> resume;
  agree(comm,
        [&] { resume = load_newest_checkpoint(files.checkpoints, mixture, context.record.fingerprint); });
  const auto steps = static_cast<std::int64_t>(
      global_batches(static_cast<std::int64_t>(set.examples.size()), options).size());
  TrainingRecorder recorder(context, mixture, files, steps, resume.value_or(Snapshot{}));
  const auto reducer = reducer_for(comm, decoder.device(), context.session.config.training.reduction);
  const TrainingHooks hooks{.step = [&](const StepLog& log) { recorder.step(log); },
                            .checkpoint = [&](const Snapshot& snapshot) { recorder.checkpoint(snapshot); },
                            .example = [&](std::int64_t i) { return set.places[set.examples[i].record]; },
                            .last_checkpoint = [&] { return recorder.last_file(); }};
  const TrainingEnd end =
      train(comm, *reducer, decoder, mixture, set.examples, options, resume ? &*resume : nullptr, hooks);
  if (end == TrainingEnd::stopped) return JobEnd::stopped;
  on_root(comm, [&] { write_training(files.record, mixture, decoder.modules(), recorder.last().log); });
  return JobEnd::finished;
}

}  // namespace rocket
