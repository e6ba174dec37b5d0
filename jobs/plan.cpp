// Which commands make up the chain of a configuration, for those who run each as a job of its own.
#include <fmt/ranges.h>

#include <algorithm>

#include "base/output.h"
#include "jobs.h"
#include "pipeline/job_spec.h"
#include "pipeline/table.h"

namespace rocket {

namespace {

struct Step {
  std::string command;
  std::vector<std::string> after;  // the commands whose results it reads
};

void add_once(std::vector<std::string>& commands, const std::string& command) {
  if (std::ranges::find(commands, command) == commands.end()) commands.push_back(command);
}

std::vector<Step> steps_of(const RunConfig& config) {
  std::vector<Step> steps;
  for (const JobSpec& spec : job_specs()) {
    if (!is_in_chain(spec, config)) continue;
    auto step = std::ranges::find(steps, spec.command(), &Step::command);
    if (step == steps.end()) step = steps.insert(steps.end(), {spec.command(), {}});
    for (const std::string& job : upstream_of(spec, config)) add_once(step->after, job_spec(job).command());
  }
  return steps;
}

/// The report shows what all the others left.
Step report_step(const std::vector<Step>& steps) {
  Step report{"report", {}};
  for (const Step& step : steps) {
    const bool is_read = std::ranges::any_of(
        steps, [&](const Step& other) { return std::ranges::count(other.after, step.command) > 0; });
    if (!is_read) report.after.push_back(step.command);
  }
  return report;
}

}  // namespace

void plan(const Session& session, const std::string& format) {
  std::vector<Step> steps = steps_of(session.config);
  steps.push_back(report_step(steps));
  Table table{{"command", "after"}, {}};
  for (const Step& step : steps)
    table.rows.push_back({step.command, fmt::format("{}", fmt::join(step.after, " "))});
  print_result(render(table, table_format(format)));
}

}  // namespace rocket
