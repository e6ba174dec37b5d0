#include "pipeline/rate_search.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "scoring/system_scorer.h"
#include "store/hdf5.h"

namespace rocket {
namespace {

/// The examples of the last fifth of the shots, which are the last of the set.
std::int64_t first_held_out(const RunConfig& config, const TrainingSet& set) {
  constexpr std::int64_t kShare = 5;
  const std::int64_t held_out = (config.task.k + kShare - 1) / kShare;
  return static_cast<std::int64_t>(set.places.size()) - held_out;
}

TrainingSet part_of(const TrainingSet& set, std::int64_t first, bool held_out) {
  TrainingSet part{{}, set.places};
  for (const Example& example : set.examples)
    if ((example.record >= first) == held_out) part.examples.push_back(example);
  return part;
}

class RateSearch {
 public:
  RateSearch(JobContext& context, const Decoder& decoder, Mixture& mixture, const TrainingSet& set,
             TrainingOptions options, const TrainingFiles& files)
      : context_(context),
        config_(context.session.config),
        decoder_(decoder),
        mixture_(mixture),
        set_(set),
        options_(options),
        files_(files),
        start_P_(mixture.flat().clone()) {}

  /// nullopt: a signal asked the job to stop.
  std::optional<double> best_rate() {
    if (!read_what_was_tried()) {
      const std::int64_t first = first_held_out(config_, set_);
      const TrainingSet fitted = part_of(set_, first, false), held_out = part_of(set_, first, true);
      if (held_out.examples.empty() || fitted.examples.empty())
        fail_data("evaluation.tune: of {} shots none can be held out", config_.task.k);
      for (std::size_t i = 0; i < rates().size(); ++i) {
        if (train_at(i, fitted) == JobEnd::stopped) return std::nullopt;
        measure(i, held_out.examples);
      }
    }
    on_root(context_.session.comm, [&] { keep(); });
    restart();
    nll_ = broadcast_values(context_.session.comm, nll_);
    return rates()[static_cast<std::size_t>(std::ranges::min_element(nll_) - nll_.begin())];
  }

 private:
  const std::vector<double>& rates() const { return config_.evaluation.tune; }

  void restart() {
    const at::NoGradGuard no_grad;
    mixture_.flat().copy_(start_P_);
  }

  JobEnd train_at(std::size_t i, const TrainingSet& fitted) {
    restart();
    options_.learning_rate = rates()[i];
    const fs::path folder = files_.rates_folder / std::to_string(i);
    return train_and_record(context_, decoder_, mixture_, fitted, options_,
                            {folder / "checkpoints", folder / "training.h5", {}, {}});
  }

  void measure(std::size_t i, const std::vector<Example>& held_out) {
    on_root(context_.session.comm, [&] {
      const double nll = mean_nll(decoder_, {nullptr, &mixture_}, held_out, config_.scoring.batch_tokens);
      log::info("{}: learning rate {:g}: nll {:.5f} of {} held-out shots", context_.record.job, rates()[i],
                nll, held_out.size());
      if (!std::isfinite(nll))
        fail_data("the nll of the held-out shots is {} after training at {:g}", nll, rates()[i]);
      nll_.push_back(nll);
    });
  }

  /// Collective. True if an attempt before this one had tried all rates.
  bool read_what_was_tried() {
    on_root(context_.session.comm, [&] {
      if (fs::exists(files_.rates)) nll_ = H5Reader(files_.rates).read<double>("nll", {std::ssize(rates())});
    });
    return any_rank(context_.session.comm, !nll_.empty());
  }

  /// Root only.
  void keep() {
    if (!fs::exists(files_.rates)) {
      H5Writer out(files_.rates);
      out.write("learning_rate", rates());
      out.write("nll", nll_);
      out.commit();
    }
    remove_tree(files_.rates_folder);
  }

  JobContext& context_;
  const RunConfig& config_;
  const Decoder& decoder_;
  Mixture& mixture_;
  const TrainingSet& set_;
  TrainingOptions options_;
  const TrainingFiles& files_;
  at::Tensor start_P_;
  std::vector<double> nll_;  // root's, of each rate
};

}  // namespace

JobEnd train_at_best_rate(JobContext& context, const Decoder& decoder, Mixture& mixture,
                          const TrainingSet& set, TrainingOptions options, const TrainingFiles& files) {
  if (!context.session.config.evaluation.tune.empty()) {
    const auto rate = RateSearch(context, decoder, mixture, set, options, files).best_rate();
    if (!rate) return JobEnd::stopped;
    options.learning_rate = *rate;
    log::info("{}: goes on with learning rate {:g}", context.record.job, *rate);
  }
  return train_and_record(context, decoder, mixture, set, options, files);
}

}  // namespace rocket
