#include "selection/heavy_shots.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <span>

namespace rocket {
namespace {

constexpr std::size_t most_names = 5;

std::span<const double> nll_of(const BankScores& scores, std::size_t row) {
  const auto shots = static_cast<std::size_t>(scores.shots);
  return std::span(scores.nll).subspan(row * shots, shots);
}

std::vector<double> perplexities(const BankScores& scores, std::size_t row) {
  std::vector<double> values;
  for (const double nll : nll_of(scores, row)) values.push_back(std::exp(nll));
  return values;
}

/// Of the sum, what this shot makes; 1 where it alone is infinite.
double share_of(const std::vector<double>& values, std::size_t shot) {
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return std::isinf(values[shot]) ? 1 : values[shot] / sum;
}

/// At most `most_names` of the rows, and how many there are besides.
std::string names_of(const BankScores& scores, const std::vector<std::size_t>& rows) {
  std::vector<std::string> names;
  for (const std::size_t row : rows) {
    if (names.size() < most_names) names.push_back(scores.adapters[row]);
  }
  std::string text = fmt::format("{}", fmt::join(names, ", "));
  if (rows.size() > names.size()) text += fmt::format(" and {} more", rows.size() - names.size());
  return text;
}

}  // namespace

double exp_mean_nll(const BankScores& scores, std::size_t row) {
  const auto nll = nll_of(scores, row);
  return std::exp(std::accumulate(nll.begin(), nll.end(), 0.0) / static_cast<double>(nll.size()));
}

std::vector<HeavyShot> heavy_shots(const BankScores& scores) {
  if (scores.shots < 3) return {};
  std::map<std::size_t, HeavyShot> found;
  for (std::size_t row = 0; row < scores.adapters.size(); ++row) {
    const std::vector<double> values = perplexities(scores, row);
    const auto largest = std::max_element(values.begin(), values.end());
    const double others =
        std::accumulate(values.begin(), largest, 0.0) + std::accumulate(largest + 1, values.end(), 0.0);
    if (*largest <= others) continue;
    const auto shot = static_cast<std::size_t>(largest - values.begin());
    found[shot].shot = static_cast<std::int64_t>(shot);
    found[shot].rows.push_back(row);
  }
  std::vector<HeavyShot> heavy;
  for (auto& [shot, entry] : found) heavy.push_back(std::move(entry));
  return heavy;
}

std::string describe(const HeavyShot& heavy, const BankScores& scores, const std::string& place) {
  const auto shot = static_cast<std::size_t>(heavy.shot);
  const auto share = [&](std::size_t row) { return share_of(perplexities(scores, row), shot); };
  const std::size_t worst = *std::ranges::max_element(heavy.rows, {}, share);
  const std::vector<double> values = perplexities(scores, worst);
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  return fmt::format(
      "{} makes more than half of the mean perplexity of {} of {} systems ({}); of {} it makes {:.0f} %: its "
      "perplexity is {:.4g}, the mean {:.4g}, exp of the mean nll {:.4g}. Look at the shot before you trust "
      "places "
      "by perplexity",
      place, heavy.rows.size(), scores.adapters.size(), names_of(scores, heavy.rows), scores.adapters[worst],
      100 * share(worst), values[shot], mean, exp_mean_nll(scores, worst));
}

}  // namespace rocket
