#include "training/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <span>

#include "base/error.h"
#include "base/files.h"
#include "store/hdf5.h"

namespace rocket {
namespace {

constexpr std::string_view kStem = "step-", kSuffix = ".h5";
constexpr const char* kVersion = "3";

template <class T, class Member>
std::vector<T> column(const std::vector<StepLog>& log, Member member) {
  std::vector<T> values;
  for (const StepLog& step : log) values.push_back(step.*member);
  return values;
}

void write_log(H5Writer& file, const std::vector<StepLog>& log, const Mixture& mixture) {
  file.write("log/step", column<std::int64_t>(log, &StepLog::step));
  file.write("log/epoch", column<std::int64_t>(log, &StepLog::epoch));
  file.write("log/loss", column<double>(log, &StepLog::loss));
  file.write("log/learning_rate", column<double>(log, &StepLog::learning_rate));
  file.write("log/gradient_norm", column<double>(log, &StepLog::gradient_norm));
  file.write("log/target_tokens", column<std::int64_t>(log, &StepLog::target_tokens));
  file.write("log/seconds", column<double>(log, &StepLog::seconds));
  const std::size_t width = mixture.modules().size() * mixture.expert_names().size();
  std::vector<float> load;
  for (const StepLog& step : log) load.insert(load.end(), step.expert_load.begin(), step.expert_load.end());
  file.write("log/expert_load", load,
             {static_cast<std::int64_t>(log.size()), static_cast<std::int64_t>(width)});
}

template <class T, class Member>
void read_column(const H5Reader& file, const std::string& name, std::vector<StepLog>& log, Member member) {
  const auto values = file.read<T>("log/" + name, {static_cast<std::int64_t>(log.size())});
  for (std::size_t i = 0; i < log.size(); ++i) log[i].*member = values[i];
}

std::vector<StepLog> read_log(const H5Reader& file, std::int64_t steps, const Mixture& mixture) {
  const std::size_t width = mixture.modules().size() * mixture.expert_names().size();
  const auto load = file.read<float>("log/expert_load", {steps, static_cast<std::int64_t>(width)});
  std::vector<StepLog> log(static_cast<std::size_t>(steps));
  read_column<std::int64_t>(file, "step", log, &StepLog::step);
  read_column<std::int64_t>(file, "epoch", log, &StepLog::epoch);
  read_column<double>(file, "loss", log, &StepLog::loss);
  read_column<double>(file, "learning_rate", log, &StepLog::learning_rate);
  read_column<double>(file, "gradient_norm", log, &StepLog::gradient_norm);
  read_column<std::int64_t>(file, "target_tokens", log, &StepLog::target_tokens);
  read_column<double>(file, "seconds", log, &StepLog::seconds);
  for (std::size_t i = 0; i < log.size(); ++i) {
    const auto row = load.begin() + static_cast<std::ptrdiff_t>(i * width);
    log[i].expert_load.assign(row, row + static_cast<std::ptrdiff_t>(width));
  }
  return log;
}

/// Names and shapes of the ranges of the flat buffer.
std::vector<std::string> layout(const Mixture& mixture) {
  std::vector<std::string> lines;
  for (const ParameterRange& range : mixture.ranges()) {
    lines.push_back(fmt::format("{} [{}, {}]", range.name, range.shape[0], range.shape[1]));
  }
  return lines;
}

void check_layout(const H5Reader& file, const Mixture& mixture) {
  const std::vector<std::string> stored = file.read_strings("layout"), wanted = layout(mixture);
  const auto [mine, theirs] = std::ranges::mismatch(wanted, stored);
  if (mine == wanted.end() && theirs == stored.end()) return;
  fail_data("it does not fit the mixture: expected {}, got {}",
            mine == wanted.end() ? "no more parameters" : *mine,
            theirs == stored.end() ? "no more parameters" : *theirs);
}

/// One value of each parameter.
std::vector<float> read_values(const H5Reader& file, const std::string& name, const Mixture& mixture) {
  std::vector<float> values = file.read<float>(name, {mixture.flat().numel()});
  for (const ParameterRange& range : mixture.ranges()) {
    const auto part = std::span(values).subspan(static_cast<std::size_t>(range.offset),
                                                static_cast<std::size_t>(range.count));
    const auto broken = std::ranges::find_if_not(part, [](float v) { return std::isfinite(v); });
    if (broken != part.end())
      fail_data("'{}' of {} holds {} at place {}, expected finite numbers", name, range.name, *broken,
                broken - part.begin());
  }
  return values;
}

Snapshot read_checkpoint(const std::filesystem::path& path, std::int64_t step, const Mixture& mixture,
                         const std::string& fingerprint) {
  check_seal(path);
  const H5Reader file(path);
  if (file.attribute("version") != kVersion) {
    fail_data("checkpoint version '{}', expected '{}'", file.attribute("version"), kVersion);
  }
  if (file.attribute("fingerprint") != fingerprint) {
    fail_data("it belongs to other settings or inputs (fingerprint {}, expected {})",
              file.attribute("fingerprint"), fingerprint);
  }
  check_layout(file, mixture);
  Snapshot snapshot{.step = step};
  if (file.read<std::int64_t>("step", {1})[0] != step) fail_data("its step is not that of its name");
  snapshot.parameters = read_values(file, "parameters", mixture);
  snapshot.first_moment = read_values(file, "first_moment", mixture);
  snapshot.second_moment = read_values(file, "second_moment", mixture);
  snapshot.log = read_log(file, step, mixture);
  return snapshot;
}

std::string way_back(const std::filesystem::path& folder, const std::vector<std::int64_t>& steps) {
  if (steps.size() < 2) return "delete it to train from the start";
  return fmt::format("delete it to go back to {}",
                     checkpoint_path(folder, steps[steps.size() - 2]).filename().string());
}

}  // namespace

std::filesystem::path checkpoint_path(const std::filesystem::path& folder, std::int64_t step) {
  return folder / fmt::format("{}{:07}{}", kStem, step, kSuffix);
}

std::vector<std::int64_t> checkpoint_steps(const std::filesystem::path& folder) {
  std::vector<std::int64_t> steps;
  if (!std::filesystem::is_directory(folder)) return steps;
  for (const auto& item : std::filesystem::directory_iterator(folder)) {
    const std::string name = item.path().filename().string();
    if (!name.starts_with(kStem) || !name.ends_with(kSuffix)) continue;
    std::int64_t step = 0;
    const char* end = name.data() + name.size() - kSuffix.size();
    const auto [stop, error] = std::from_chars(name.data() + kStem.size(), end, step);
    if (error == std::errc() && stop == end && checkpoint_path(folder, step) == item.path())
      steps.push_back(step);
  }
  std::ranges::sort(steps);
  return steps;
}

std::filesystem::path save_checkpoint(const std::filesystem::path& folder, const Snapshot& snapshot,
                                      const Mixture& mixture, const std::string& fingerprint,
                                      std::int64_t keep) {
  make_folders(folder);
  const std::filesystem::path path = checkpoint_path(folder, snapshot.step);
  H5Writer file(path);
  file.attribute("version", kVersion);
  file.attribute("fingerprint", fingerprint);
  file.write("step", std::vector<std::int64_t>{snapshot.step});
  const std::vector<std::string> lines = layout(mixture);
  file.write_strings("layout", lines, {static_cast<std::int64_t>(lines.size())});
  file.write("parameters", snapshot.parameters);
  file.write("first_moment", snapshot.first_moment);
  file.write("second_moment", snapshot.second_moment);
  write_log(file, snapshot.log, mixture);
  file.commit();
  std::vector<std::int64_t> steps = checkpoint_steps(folder);
  for (; static_cast<std::int64_t>(steps.size()) > std::max<std::int64_t>(keep, 1);
       steps.erase(steps.begin())) {
    remove_tree(checkpoint_path(folder, steps.front()));
  }
  return path;
}

std::optional<Snapshot> load_newest_checkpoint(const std::filesystem::path& folder, const Mixture& mixture,
                                               const std::string& fingerprint) {
  const std::vector<std::int64_t> steps = checkpoint_steps(folder);
  if (steps.empty()) return std::nullopt;
  const std::filesystem::path path = checkpoint_path(folder, steps.back());
  try {
    return read_checkpoint(path, steps.back(), mixture, fingerprint);
  } catch (const Error& e) {
    fail(e.code(), "checkpoint {}: {}; {}", path.string(), e.what(), way_back(folder, steps));
  }
}

}  // namespace rocket
