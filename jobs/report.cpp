// report.html: one page about the run, from what there is.
#include "evaluation/report.h"

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "jobs.h"
#include "pipeline/proof.h"
#include "pipeline/report_data.h"

namespace rocket {

void report(const Session& session) {
  bool any = false;
  for (const JobSpec& spec : job_specs()) {
    const auto record = read_record(session.run, spec.name);
    any = any || record;
    if (!record || !record->done) continue;
    if (const auto fault = missing_proof(session.run, spec, *record))
      fail_data("report: {}: its record says done, but {}: `{}` first", spec.name, *fault,
                session.command(spec.command()));
  }
  if (!any)
    fail_data("{}: nothing has run here yet: `{}` first", session.run.root().string(),
              session.command("run"));
  write_file(session.run.file("report.html"), render_report(gather_report(session)));
  log::info("report: {}", session.run.file("report.html").string());
}

}  // namespace rocket
