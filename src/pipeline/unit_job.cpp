#include "pipeline/unit_job.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "comm/units.h"

namespace rocket {

namespace {

bool is_of_this_attempt(const JobContext& context, const H5Reader& part) {
  return part.attribute("fingerprint") == context.record.fingerprint &&
         part.attribute("attempt") == context.record.attempt;
}

/// Why the part of a unit, which is there, is of no use; empty if it is whole and of this computation.
std::string fault_of(const JobContext& context, const fs::path& file) {
  try {
    check_seal(file);
    const H5Reader part(file);
    if (is_of_this_attempt(context, part)) return "";
    if (part.attribute("fingerprint") == context.record.fingerprint || context.session.fresh)
      return fmt::format("'{}' belongs to another attempt", file.string());
  } catch (const Error& e) {
    return e.what();
  }
  fail_data("{}: belongs to another computation; `{} --fresh` starts anew", file.string(),
            context.session.command(context.record.job));
}

/// Collective. Every rank reads a share of the parts that are there.
std::vector<std::int64_t> missing_units(const JobContext& context, std::int64_t units) {
  Comm& comm = context.session.comm;
  std::vector<std::int64_t> mine, missing;
  std::string faults;
  agree(comm, [&] {
    for (std::int64_t unit = comm.rank(); unit < units; unit += comm.size()) {
      const fs::path file = part_file(context.session.run, context.record.job, unit);
      const bool there = fs::exists(file);
      const std::string fault = there ? fault_of(context, file) : "";
      if (there && fault.empty()) continue;
      mine.push_back(unit);
      if (there) faults += fmt::format("{}: {}: it is computed again\n", context.record.job, fault);
    }
  });
  for (const std::string& of_rank : comm.gather_all(bytes_of(mine))) {
    const auto theirs = values_of<std::int64_t>(of_rank);
    missing.insert(missing.end(), theirs.begin(), theirs.end());
  }
  std::ranges::sort(missing);
  for (const std::string& of_rank : comm.gather_all(faults)) {
    std::istringstream lines(of_rank);
    for (std::string line; std::getline(lines, line);) log::warn("{}", line);
  }
  return missing;
}

using Groups = std::map<std::int64_t, std::vector<std::int64_t>>;  // units by group

/// Those in which a unit is missing. Collective: root says which group a unit is in.
Groups groups_to_compute(Comm& comm, const UnitJob& job, const std::vector<std::int64_t>& missing) {
  std::vector<std::int64_t> group_of(static_cast<std::size_t>(job.units));
  for (std::int64_t unit = 0; unit < job.units; ++unit)
    group_of[static_cast<std::size_t>(unit)] = job.group ? job.group(unit) : unit;
  group_of = broadcast_values(comm, group_of);
  Groups groups;
  for (const std::int64_t unit : missing) groups[group_of[static_cast<std::size_t>(unit)]];
  for (std::int64_t unit = 0; unit < job.units; ++unit) {
    const auto group = groups.find(group_of[static_cast<std::size_t>(unit)]);
    if (group != groups.end()) group->second.push_back(unit);
  }
  return groups;
}

void compute_group(JobContext& context, const UnitJob& job, const std::vector<std::int64_t>& units) {
  const auto start = std::chrono::steady_clock::now();
  if (job.prepare) job.prepare(units);
  for (const std::int64_t unit : units) {
    H5Writer part(part_file(context.session.run, context.record.job, unit));
    part.attribute("fingerprint", context.record.fingerprint);
    part.attribute("attempt", context.record.attempt);
    job.work(unit, part);
    part.commit();
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const std::int64_t unit : units)
    context.events.write("unit", {{"unit", unit}, {"seconds", seconds / static_cast<double>(units.size())}});
}

}  // namespace

H5Reader open_part(const JobContext& context, std::int64_t unit) {
  const fs::path file = part_file(context.session.run, context.record.job, unit);
  H5Reader part(file);
  if (!is_of_this_attempt(context, part))
    fail_data("'{}' was replaced by another process while the job ran: the same command computes it again",
              file.string());
  return part;
}

fs::path part_file(const RunDirectory& run, const std::string& job, std::int64_t unit) {
  return run.parts(job) / fmt::format("unit-{:06}.h5", unit);
}

JobEnd run_unit_job(JobContext& context, const UnitJob& job) {
  Comm& comm = context.session.comm;
  const Groups groups = groups_to_compute(comm, job, missing_units(context, job.units));
  std::vector<std::int64_t> pending;
  JobRecord& record = context.record;
  record.parts_total = record.parts_done = job.units;
  for (const auto& [group, units] : groups) {
    pending.push_back(group);
    record.parts_done -= static_cast<std::int64_t>(units.size());
  }
  on_root(comm, [&] { context.save_progress(); });
  Progress progress(record.job, job.unit_name, job.units, record.parts_done);
  const UnitsEnd end =
      run_units(comm, pending,
                {.work = [&](std::int64_t group) { compute_group(context, job, groups.at(group)); },
                 .committed =
                     [&](std::int64_t group, int) {
                       const std::vector<std::int64_t>& done = groups.at(group);
                       const auto units = std::ssize(done);
                       // The record learns of the first part at once: from then on it is worth keeping.
                       const bool first = record.parts_done == 0;
                       record.parts_done += units;
                       if (first) context.save_progress();
                       progress.advance(units, job.note ? job.note(done) : "");
                     }});
  return end == UnitsEnd::finished ? JobEnd::finished : JobEnd::stopped;
}

}  // namespace rocket
