// From a command to its job: ranks, configuration, run directory; and from errors to exit codes.
#include <cstdio>
#include <map>

#include "base/error.h"
#include "base/log.h"
#include "base/stop.h"
#include "comm/launcher.h"
#include "comm/mpi_comm.h"
#include "comm/placement.h"
#include "comm/watch.h"
#include "jobs.h"
#include "model/device.h"
#include "pipeline/job_lock.h"

namespace rocket {

JobBody job_body(const std::string& name) {
  if (!job_spec(name).rival.empty()) return train_rival;
  static const std::map<std::string, JobBody> bodies = {{"score", score},
                                                        {"experts", experts},
                                                        {"embed", embed},
                                                        {"select", select},
                                                        {"finetune", finetune},
                                                        {"evaluate", evaluate},
                                                        {"export", export_mixture_job},
                                                        {"train-adapter", train_adapter},
                                                        {"rationalize", rationalize}};
  return bodies.at(name);
}

namespace {

log::Level level_of(const Command& command) {
  if (command.quiet) return log::Level::quiet;
  return command.verbose ? log::Level::verbose : log::Level::normal;
}

/// What the command will read must exist; missing files are reported beside all other problems.
std::vector<Input> inputs_of_command(const Command& command, const RunConfig& config) {
  const std::string& job = command.job;
  if (job == "check") return inputs_of(checked_jobs(config, command.one_job));
  if (job == "run") return {all_inputs.begin(), all_inputs.end()};
  if (job == "report" || job == "rivals" || job == "plan") return {};
  return job_spec(job).inputs;
}

/// Whether the command stops at a safe point when a signal asks it to. The others have nothing to commit.
bool stops_at_safe_points(const Command& command) {
  const std::string& job = command.job;
  return job != "inspect" && job != "tokenize" && job != "extract" && job != "chat" && job != "check" &&
         job != "plan" && (job != "sweep" || command.action == "run");
}

void prepare_signals(const Command& command) {
  if (!stops_at_safe_points(command)) return release_stop_signals();
  // mpirun and srun signal their ranks several times, and end them at once themselves when they are asked to.
  const bool launched = !launch_of_environment().variable.empty();
  install_stop_signals(launched ? SecondSignal::only_asks : SecondSignal::ends_at_once);
}

/// Every rank reads the file: it is small, and all must refuse it together.
Session open_session(Comm& comm, const Command& command, const Placement& placement) {
  RunConfig config;
  agree(comm, [&] {
    config = load_config(command.target, command.set,
                         [&](const RunConfig& c) { return inputs_of_command(command, c); });
  });
  const RunDirectory run(config.run, command.job == "generate" ? generation_of(config) : "");
  return {comm,          command.target,         std::move(config), run,
          command.fresh, placement.rank_on_node, placement.summary};
}

void run_one_job(Session& session, const Command& command) {
  if (command.job == "run") return run(session);
  if (command.job == "check") return check(session, checked_jobs(session.config, command.one_job));
  if (command.job == "plan") return on_root(session.comm, [&] { plan(session, command.format); });
  if (command.job == "report") return on_root(session.comm, [&] { report(session); });
  if (command.job == "rivals") return rivals(session, session.fresh ? Stale::discard_all : Stale::refuse);
  if (command.job == "generate") return generate(session, session.fresh ? Stale::discard_all : Stale::refuse);
  const bool mixture_in_place = command.form == "mixture" && command.folder.empty();
  if (command.job == "export" && !mixture_in_place) {
    const JobLock lock(session, job_spec("export"));
    return on_root(session.comm, [&] { export_expert(session, {command.form, command.folder}); });
  }
  run_job(session, job_spec(command.job), session.fresh ? Stale::discard_all : Stale::refuse,
          job_body(command.job));
}

void execute(Comm& comm, const Command& command) {
  log::configure(level_of(command), comm.is_root());
  if (command.job == "inspect") return on_root(comm, [&] { inspect(command); });
  if (command.job == "tokenize") return on_root(comm, [&] { tokenize(command); });
  if (command.job == "extract") return on_root(comm, [&] { extract(command.extract); });
  if (command.job == "chat") return on_root(comm, [&] { chat(command.chat); });
  const Placement placement = place_ranks(comm, command.cores);
  configure_compute(placement.threads);
  for (const std::string& warning : placement.warnings) log::warn("{}", warning);
  if (const std::string note = launch_of_environment().note; !note.empty()) log::warn("{}", note);
  if (command.job == "dedup") {
    const Watch watch(comm, {});
    return dedup(comm, command.dedup, placement);
  }
  if (command.job == "sweep") return sweep(comm, command, placement);
  Session session = open_session(comm, command, placement);
  session.settings = command.set;
  const Watch watch(comm, WatchLimits::of_hang_limit(session.config.training.hang_limit));
  run_one_job(session, command);
}

/// An error that all ranks agreed on is said once; any other by the rank that has it.
void say(const Comm& comm, const char* message, bool agreed) {
  if (agreed && !comm.is_root()) return;
  std::fprintf(stderr, "rocket: %s\n", message);
}

int run_as_rank(const Command& command) {
  std::unique_ptr<Comm> comm = launched_by_mpi() ? make_mpi_comm() : make_local_comm();
  ExitCode code = ExitCode::done;
  bool agreed = true;
  try {
    execute(*comm, command);
  } catch (const Error& e) {
    code = e.code();
    agreed = e.agreed();
    say(*comm, e.what(), agreed);
  } catch (const std::exception& e) {
    code = ExitCode::internal;
    agreed = false;
    say(*comm, e.what(), agreed);
  }
  return leave(std::move(comm), static_cast<int>(code), agreed);
}

}  // namespace

}  // namespace rocket

extern "C" int rocket_execute(const rocket::Command* command) {
  try {
    rocket::prepare_signals(*command);
    return rocket::run_as_rank(*command);
  } catch (const rocket::Error& e) {
    std::fprintf(stderr, "rocket: %s\n", e.what());
    return static_cast<int>(e.code());
  }
}
