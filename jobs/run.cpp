// The whole chain.
#include "base/output.h"
#include "jobs.h"
#include "pipeline/run_tables.h"

namespace rocket {

namespace {

/// Root only. The result table with names for people.
void print_table(const RunDirectory& run) {
  Table table = std::get<Table>(run_table(run, "evaluation"));
  for (auto& row : table.rows) row[0] = system_label(run, row[0].get<std::string>());
  print_result(render(table, TableFormat::text));
}

}  // namespace

void run(Session& session) {
  on_root(session.comm, [&] { require_paths(session.config, all_inputs); });
  const Stale stale = session.fresh ? Stale::recompute : Stale::refuse;
  for (const JobSpec& spec : job_specs()) {
    if (is_in_chain(spec, session.config)) run_job(session, spec, stale, job_body(spec.name));
  }
  on_root(session.comm, [&] {
    report(session);
    print_table(session.run);
  });
}

}  // namespace rocket
