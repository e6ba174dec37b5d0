#include "pipeline/lorahub.h"

#include <fmt/ranges.h>
#include <nlopt.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <memory>
#include <span>

#include "adapters/merges.h"
#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/stop.h"
#include "pipeline/options.h"
#include "pipeline/proof.h"
#include "pipeline/task_data.h"
#include "scoring/system_scorer.h"
#include "store/hdf5.h"

namespace rocket {
namespace {

constexpr double kLargestWeight = 1.5, kPenalty = 0.05, kStart = 0.5;
const std::string kOutput = "rivals/lorahub/weights.h5";

struct Trials {
  std::vector<double> weights;    // [T, N]
  std::vector<double> objective;  // [T]

  std::vector<double> best(std::size_t experts) const {
    const auto place = std::ranges::min_element(objective) - objective.begin();
    const auto first = weights.begin() + place * static_cast<std::ptrdiff_t>(experts);
    return {first, first + static_cast<std::ptrdiff_t>(experts)};
  }
};

Trials trials_of(const H5Reader& file) {
  const std::vector<std::int64_t> shape = file.shape("weight");
  return {file.read<double>("weight", shape), file.read<double>("objective", {shape.at(0)})};
}

/// What NLopt minimises, on root.
class Objective {
 public:
  Objective(const JobContext& context, RivalSources& sources)
      : config_(sources.config()),
        decoder_(sources.decoder()),
        experts_(sources.experts()),
        file_(context.session.run.file(kOutput)),
        progress_(context.record.job, "trials", kLoraHubTrials, 0) {
    const BaseText text(config_);
    for (const Question& shot : read_shots(config_, answer_reader(config_)))
      shots_.push_back(text.example(shot.record));
    if (fs::exists(file_)) known_ = trials_of(H5Reader(file_));
  }

  const Trials& trials() const { return trials_; }
  bool stopped() const { return stopped_; }

  double at(std::span<const double> weights) {
    const std::size_t trial = trials_.objective.size();
    const double value = was_tried(trial, weights) ? known_.objective[trial] : compute(weights);
    trials_.weights.insert(trials_.weights.end(), weights.begin(), weights.end());
    trials_.objective.push_back(value);
    if (trials_.objective.size() > known_.objective.size()) keep();
    progress_.advance(1, fmt::format("objective {:.4f}", value));
    stopped_ = stop_requested();
    return value;
  }

 private:
  bool was_tried(std::size_t trial, std::span<const double> weights) const {
    return trial < known_.objective.size() &&
           std::ranges::equal(weights,
                              std::span(known_.weights).subspan(trial * weights.size(), weights.size()));
  }

  double compute(std::span<const double> weights) const {
    LoraAdapter merged = weighted_merge(experts_, weights, "lorahub");
    merged.convert(compute_type(config_));
    const ModelSystem system{std::make_shared<const LoraAdapter>(std::move(merged)), nullptr};
    double size = 0;
    for (const double w : weights) size += std::abs(w);
    const double nll = mean_nll(decoder_, system, shots_, config_.scoring.batch_tokens);
    if (!std::isfinite(nll))
      fail_data("the nll of the shots is {} at the weights {}", nll, fmt::join(weights, ", "));
    return nll + kPenalty * size / static_cast<double>(weights.size());
  }

  void keep() const {
    std::vector<std::string> names;
    for (const LoraAdapter& expert : experts_) names.push_back(expert.name);
    const auto trials = std::ssize(trials_.objective), count = std::ssize(names);
    make_folders(file_.parent_path());
    H5Writer out(file_);
    out.write_strings("expert", names, {count});
    out.write("weight", trials_.weights, {trials, count});
    out.write("objective", trials_.objective);
    out.commit();
  }

  const RunConfig& config_;
  const Decoder& decoder_;
  const std::vector<LoraAdapter>& experts_;
  fs::path file_;
  Progress progress_;
  std::vector<Example> shots_;
  Trials known_, trials_;
  bool stopped_ = false;
};

/// An error cannot pass through NLopt: it ends the search and is thrown behind it.
struct Call {
  Objective* objective;
  nlopt_opt search;
  std::exception_ptr error;
};

double call(unsigned count, const double* weights, double* /*gradient*/, void* data) {
  Call& c = *static_cast<Call*>(data);
  double value = 0;
  try {
    value = c.objective->at({weights, count});
  } catch (...) {
    c.error = std::current_exception();
  }
  if (c.error || c.objective->stopped()) nlopt_force_stop(c.search);
  return value;
}

/// The base goes first. It is no place to start from: the merge is a product of two weighted sums, so there
/// its gradient is zero, and the penalty makes it a local minimum.
void minimise(Objective& objective, std::size_t count) {
  objective.at(std::vector<double>(count, 0.0));
  const std::unique_ptr<nlopt_opt_s, decltype(&nlopt_destroy)> search(
      nlopt_create(NLOPT_LN_COBYLA, static_cast<unsigned>(count)), nlopt_destroy);
  Call data{&objective, search.get(), {}};
  nlopt_set_min_objective(search.get(), call, &data);
  nlopt_set_lower_bounds1(search.get(), -kLargestWeight);
  nlopt_set_upper_bounds1(search.get(), kLargestWeight);
  nlopt_set_initial_step1(search.get(), kStart / 2);
  nlopt_set_maxeval(search.get(), kLoraHubTrials - 1);
  std::vector<double> weights(count, kStart);
  double least = 0;
  const nlopt_result result = nlopt_optimize(search.get(), weights.data(), &least);
  if (data.error) std::rethrow_exception(data.error);
  if (result < 0 && result != NLOPT_FORCED_STOP && result != NLOPT_ROUNDOFF_LIMITED)
    fail_internal("NLopt ended with {}", nlopt_result_to_string(result));
}

}  // namespace

JobEnd fit_lorahub(JobContext& context, RivalSources& sources) {
  const std::vector<LoraAdapter>& experts = sources.experts();
  Objective objective(context, sources);
  minimise(objective, experts.size());
  if (objective.stopped()) return JobEnd::stopped;
  const std::vector<double> best = objective.trials().best(experts.size());
  std::vector<std::string> chosen;
  for (std::size_t i = 0; i < best.size(); ++i)
    chosen.push_back(fmt::format("{} {:.3f}", experts[i].name, best[i]));
  log::info("{}: weights {}", context.record.job, fmt::join(chosen, ", "));
  return JobEnd::finished;
}

LoraAdapter fitted_lorahub(const Session& session, RivalSources& sources) {
  const std::vector<LoraAdapter>& experts = sources.experts();
  return weighted_merge(experts, trials_of(open_result(session.run, kOutput)).best(experts.size()),
                        "lorahub");
}

}  // namespace rocket
