#include "training/step_log.h"

#include <algorithm>
#include <cmath>

namespace rocket {

double load_entropy(std::span<const float> load, std::span<const std::int64_t> experts) {
  const std::size_t width = experts.empty() ? 0 : load.size() / experts.size();
  double sum = 0, weights = 0;
  for (std::size_t w = 0; w < experts.size(); ++w) {
    if (experts[w] < 2) continue;
    double entropy = 0;
    for (const float share : load.subspan(w * width, width)) {
      if (share > 0) entropy -= static_cast<double>(share) * std::log(static_cast<double>(share));
    }
    sum += entropy / std::log(static_cast<double>(experts[w]));
    ++weights;
  }
  return weights > 0 ? sum / weights : 0;
}

std::optional<double> spike_score(std::span<const StepLog> log, double loss) {
  constexpr std::size_t kWindow = 128, kLeast = 32;
  const auto recent = log.last(std::min(kWindow, log.size()));
  if (recent.size() < kLeast) return std::nullopt;
  const auto count = static_cast<double>(recent.size());
  double mean = 0, squares = 0;
  for (const StepLog& step : recent) mean += step.loss / count;
  for (const StepLog& step : recent) squares += (step.loss - mean) * (step.loss - mean);
  const double deviation = std::sqrt(squares / (count - 1));
  if (deviation == 0) return std::nullopt;
  return (loss - mean) / deviation;
}

}  // namespace rocket
