// One configuration at many points: list them, run them, tabulate what came out, copy the files for later.
#include "config/sweep.h"

#include <cmath>
#include <cstdlib>
#include <map>

#include "base/error.h"
#include "base/log.h"
#include "base/output.h"
#include "comm/watch.h"
#include "jobs.h"
#include "pipeline/proof.h"
#include "pipeline/results.h"
#include "pipeline/system_comparison.h"
#include "pipeline/table.h"

namespace rocket {

namespace {

using nlohmann::json;

constexpr const char* kTrainAdapter = "train-adapter";

/// Of the system `expert`; nothing where the point has not been evaluated.
struct PointResult {
  double accuracy = 0, se = 0;
};

std::optional<PointResult> result_of(const Sweep& sweep, const SweepPoint& point) {
  const RunDirectory run(fs::path(sweep.runs) / point.name);
  if (!is_proven(run, "evaluate")) return std::nullopt;
  const StoredEvaluation evaluation = read_evaluation_result(run);
  for (std::size_t s = 0; s < evaluation.systems.size(); ++s) {
    if (evaluation.systems[s] == "expert")
      return PointResult{evaluation.accuracy(s), evaluation.standard_error(s)};
  }
  return std::nullopt;
}

bool is_done(const Sweep& sweep, const SweepPoint& point) {
  if (sweep.job != kTrainAdapter) return result_of(sweep, point).has_value();
  return is_proven(RunDirectory(fs::path(sweep.runs) / point.name), kTrainAdapter);
}

std::string setting_of(const SweepPoint& point, const std::string& key) {
  for (const auto& [name, value] : point.settings) {
    if (name == key) return value;
  }
  return "";
}

/// Points that differ in nothing but the seed share a row of mean and spread.
std::string group_of(const SweepPoint& point) {
  std::string group;
  for (const auto& [key, value] : point.settings) {
    if (key != "seed") group += key + "=" + value + "\n";
  }
  return group;
}

json mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

/// Sample standard deviation; null for a single seed.
json spread_of(const std::vector<double>& values) {
  if (values.size() < 2) return nullptr;
  const double mean = mean_of(values).get<double>();
  double squares = 0;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

/// One row an adapter: where its folder is, and the loss of its last update.
Table adapter_table(const Sweep& sweep) {
  Table table{{"point"}, {}};
  table.columns.insert(table.columns.end(), sweep.varying.begin(), sweep.varying.end());
  for (const char* column : {"folder", "steps", "loss"}) table.columns.emplace_back(column);
  for (const SweepPoint& point : sweep.points) {
    auto& row = table.rows.emplace_back();
    row.emplace_back(point.name);
    for (const std::string& key : sweep.varying) row.emplace_back(setting_of(point, key));
    const RunDirectory run(fs::path(sweep.runs) / point.name);
    if (is_done(sweep, point)) {
      const auto loss = open_result(run, "adapter_training.h5").read<double>("loss");
      row.emplace_back(run.file("adapter").string());
      row.emplace_back(loss.size());
      row.push_back(loss.empty() ? json(nullptr) : json(loss.back()));
    }
    row.resize(table.columns.size());  // null where there is no result yet
  }
  return table;
}

Table sweep_table(const Sweep& sweep) {
  if (sweep.job == kTrainAdapter) return adapter_table(sweep);
  std::map<std::string, std::vector<double>> groups;
  for (const SweepPoint& point : sweep.points) {
    if (const auto result = result_of(sweep, point)) groups[group_of(point)].push_back(result->accuracy);
  }
  Table table{{"point"}, {}};
  table.columns.insert(table.columns.end(), sweep.varying.begin(), sweep.varying.end());
  for (const char* column : {"accuracy", "se", "seeds", "mean", "spread"}) table.columns.emplace_back(column);
  for (const SweepPoint& point : sweep.points) {
    auto& row = table.rows.emplace_back();
    row.emplace_back(point.name);
    for (const std::string& key : sweep.varying) row.emplace_back(setting_of(point, key));
    if (const auto result = result_of(sweep, point)) {
      const auto& seeds = groups.at(group_of(point));
      row.emplace_back(result->accuracy);
      row.emplace_back(result->se);
      row.emplace_back(seeds.size());
      row.emplace_back(mean_of(seeds));
      row.emplace_back(spread_of(seeds));
    }
    row.resize(table.columns.size());  // null where there is no result yet
  }
  return table;
}

/// Points that differ in nothing but the seed, and have been evaluated.
struct EvaluatedGroup {
  const SweepPoint* first = nullptr;
  std::vector<EvaluatedRun> runs;
};

/// In the order of their first points.
std::vector<EvaluatedGroup> evaluated_groups(const Sweep& sweep) {
  std::vector<EvaluatedGroup> groups;
  std::map<std::string, std::size_t> known;
  for (const SweepPoint& point : sweep.points) {
    const RunDirectory run(fs::path(sweep.runs) / point.name);
    if (!is_proven(run, "evaluate")) {
      log::info("point {} is not compared: it has not been evaluated", point.name);
      continue;
    }
    const auto [group, is_new] = known.emplace(group_of(point), groups.size());
    if (is_new) groups.push_back({&point, {}});
    groups[group->second].runs.push_back({"point " + point.name, read_evaluation_result(run)});
  }
  return groups;
}

/// The comparison of each group's systems: the settings that vary, but not the seed; how many runs; the
/// pairs.
Table sweep_comparison(const Command& command, const Sweep& sweep) {
  if (sweep.job == kTrainAdapter)
    fail_data("{}: its job is {}, which evaluates no systems", command.target, kTrainAdapter);
  Table all;
  for (const EvaluatedGroup& group : evaluated_groups(sweep)) {
    const Table pairs =
        in_context(fmt::format("point {} and those that differ in the seed", group.first->name),
                   [&] { return comparison_table(paired_answers(group.runs)); });
    std::vector<json> place;
    all.columns.clear();
    for (const std::string& key : sweep.varying) {
      if (key == "seed") continue;
      all.columns.push_back(key);
      place.emplace_back(setting_of(*group.first, key));
    }
    all.columns.emplace_back("runs");
    place.emplace_back(group.runs.size());
    all.columns.insert(all.columns.end(), pairs.columns.begin(), pairs.columns.end());
    for (const auto& pair : pairs.rows) {
      auto& row = all.rows.emplace_back(place);
      row.insert(row.end(), pair.begin(), pair.end());
    }
  }
  if (all.rows.empty())
    fail_data("{}: no point has been evaluated: `rocket sweep {} run` does it", command.target,
              command.target);
  return all;
}

Table point_list(const Sweep& sweep) {
  Table table{{"point", "name"}, {}};
  table.columns.insert(table.columns.end(), sweep.varying.begin(), sweep.varying.end());
  table.columns.emplace_back("state");
  for (std::size_t i = 0; i < sweep.points.size(); ++i) {
    const SweepPoint& point = sweep.points[i];
    auto& row = table.rows.emplace_back();
    row.emplace_back(i);
    row.emplace_back(point.name);
    for (const std::string& key : sweep.varying) row.emplace_back(setting_of(point, key));
    const fs::path folder = fs::path(sweep.runs) / point.name;
    row.emplace_back(is_done(sweep, point)                  ? "done"
                     : fs::exists(folder / "manifest.json") ? "partial"
                                                            : "absent");
  }
  return table;
}

void run_point(Comm& comm, const Command& command, const Placement& placement, const Sweep& sweep,
               std::size_t number) {
  const SweepPoint& point = sweep.points[number];
  RunConfig config;
  const bool trains_adapter = sweep.job == kTrainAdapter;
  const JobSpec& adapter_spec = job_spec(kTrainAdapter);
  agree(comm, [&] {
    config = load_point(sweep, point, {},
                        trains_adapter ? std::span<const Input>(adapter_spec.inputs) : all_inputs);
  });
  log::info("sweep: point {}", point.name);
  const RunDirectory directory(config.run);
  Session session{comm,          command.target,         std::move(config), directory,
                  command.fresh, placement.rank_on_node, placement.summary, number};
  if (!trains_adapter) session.siblings = sweep.runs;  // only results of the chain are taken over
  const Watch watch(comm, WatchLimits::of_hang_limit(session.config.training.hang_limit));
  in_context("point " + point.name, [&] {
    if (!trains_adapter) return run(session);
    run_job(session, adapter_spec, session.fresh ? Stale::recompute : Stale::refuse, job_body(kTrainAdapter));
  });
}

/// From --point, else from the job array that this task is part of; nothing: all points.
std::optional<std::size_t> chosen_point(const Command& command, const Sweep& sweep) {
  int point = command.point;
  const char* task = std::getenv("SLURM_ARRAY_TASK_ID");
  if (point < 0 && task) point = std::atoi(task);
  if (point < 0) return std::nullopt;
  if (static_cast<std::size_t>(point) >= sweep.points.size())
    fail(ExitCode::usage, "--point {}: the sweep has {} points, from 0", point, sweep.points.size());
  return static_cast<std::size_t>(point);
}

}  // namespace

void sweep(Comm& comm, const Command& command, const Placement& placement) {
  if (command.action == "snapshot") {
    on_root(comm, [&] {
      if (command.folder.empty()) fail(ExitCode::usage, "sweep SWEEP snapshot needs --to DIR");
      print_result(snapshot_sweep(command.target, command.folder).string() + "\n");
    });
    return;
  }
  Sweep points;
  std::optional<std::size_t> chosen;
  agree(comm, [&] {
    points = load_sweep(command.target);
    chosen = chosen_point(command, points);
  });
  if (command.action == "run") {
    for (std::size_t i = 0; i < points.points.size(); ++i) {
      if (!chosen || *chosen == i) run_point(comm, command, placement, points, i);
    }
    return;
  }
  on_root(comm, [&] {
    const Table table = command.action == "list"         ? point_list(points)
                        : command.action == "comparison" ? sweep_comparison(command, points)
                                                         : sweep_table(points);
    print_result(render(table, table_format(command.format)));
  });
}

}  // namespace rocket
