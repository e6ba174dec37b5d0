#include "pipeline/unit_job.h"

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/progress.h"
#include "comm/units.h"

namespace rocket {

namespace {

/// Root only.
std::vector<std::int64_t> missing_units(const JobContext& context, std::int64_t units) {
  std::vector<std::int64_t> missing;
  for (std::int64_t unit = 0; unit < units; ++unit) {
    const fs::path file = part_file(context.session.run, context.record.job, unit);
    const bool fits =
        fs::exists(file) && H5Reader(file).attribute("fingerprint") == context.record.fingerprint;
    if (fits) continue;
    if (fs::exists(file) && !context.session.fresh)
      fail_data("{}: belongs to another computation; `{} --fresh` starts anew", file.string(),
                context.session.command(context.record.job));
    missing.push_back(unit);
  }
  return missing;
}

void compute_unit(JobContext& context, const UnitJob& job, std::int64_t unit) {
  const auto start = std::chrono::steady_clock::now();
  H5Writer part(part_file(context.session.run, context.record.job, unit));
  part.attribute("fingerprint", context.record.fingerprint);
  job.work(unit, part);
  part.commit();
  context.events.write(
      "unit", {{"unit", unit},
               {"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()}});
}

}  // namespace

fs::path part_file(const RunDirectory& run, const std::string& job, std::int64_t unit) {
  return run.parts(job) / fmt::format("unit-{:06}.h5", unit);
}

JobEnd run_unit_job(JobContext& context, const UnitJob& job) {
  Comm& comm = context.session.comm;
  std::vector<std::int64_t> missing;
  on_root(comm, [&] { missing = missing_units(context, job.units); });
  missing = broadcast_values(comm, missing);

  JobRecord& record = context.record;
  record.parts_total = job.units;
  record.parts_done = job.units - static_cast<std::int64_t>(missing.size());
  on_root(comm, [&] { context.save_progress(); });
  Progress progress(record.job, job.unit_name, job.units, record.parts_done);
  const UnitsEnd end = run_units(comm, missing,
                                 {.work = [&](std::int64_t unit) { compute_unit(context, job, unit); },
                                  .committed =
                                      [&](std::int64_t, int) {
                                        // The record learns of the first part at once: from then on it is
                                        // worth keeping.
                                        if (++record.parts_done == 1) context.save_progress();
                                        progress.advance();
                                      }});
  return end == UnitsEnd::finished ? JobEnd::finished : JobEnd::stopped;
}

}  // namespace rocket
