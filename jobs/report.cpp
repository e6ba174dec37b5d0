// report.html: one page about the run, from what there is.
#include "evaluation/report.h"

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "jobs.h"
#include "pipeline/report_data.h"

namespace rocket {

void report(const Session& session) {
  if (!fs::exists(session.run.manifest()))
    fail_data("{}: nothing has run here yet: `{}` first", session.run.root().string(),
              session.command("run"));
  write_file(session.run.file("report.html"), render_report(gather_report(session)));
  log::info("report: {}", session.run.file("report.html").string());
}

}  // namespace rocket
