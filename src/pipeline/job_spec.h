// The jobs as data: what each reads, which settings decide its result, what it stands on, what it leaves.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/run_config.h"

namespace rocket {

/// A file whose content decides a job's result, under a name that does not depend on where the file lies.
struct InputFile {
  std::string label;  // "base.path/config.json"
  std::filesystem::path path;
};

struct JobSpec {
  std::string name;
  int version = 1;                     // raise it when the same inputs and settings give another result
  std::vector<std::string> settings;   // keys or sections of the configuration
  std::vector<Input> inputs;           // paths of the configuration whose files are read
  std::vector<std::string> upstream;   // jobs whose results are read
  std::vector<std::string> outputs;    // what it leaves in the run directory, beside parts/<job>
  std::vector<std::string> may_leave;  // outputs that only some settings give
  bool parts_are_read = false;         // by the jobs that stand on it
  bool keeps_blocks = false;  // what changed looks into its earlier parts: see pipeline/known_blocks.h
  bool in_chain = true;       // one of the steps of `rocket run`
  std::string shared_folder =
      {};                  // the output in which files of others may lie: the job clears its own part of it
  std::string rival = {};  // of the job that trains one: its name in evaluation.rivals
  bool reads_rivals = false;  // the jobs of evaluation.rivals are upstream, too
  bool reads_system = false;  // the jobs that make generate.system are upstream, too
  bool in_manifest = true;    // manifest.json has its record; not of a job that a run may have several of

  bool on_device = true;        // computes where `device` says; else on the CPU
  bool sums_gradients = false;  // over its ranks

  std::vector<std::string> all_outputs() const;
  /// What is typed to run it: the jobs of all rivals have one command.
  const std::string& command() const;
};

/// Those of the chain in the order in which `rocket run` walks them, then the others.
const std::vector<JobSpec>& job_specs();

/// Throws internal (70) for an unknown name.
const JobSpec& job_spec(const std::string& name);

/// The job that trains one of `tuned_rivals`: "rival-task_lora".
std::string job_of_rival(const std::string& rival);

/// One of the jobs that `rocket run` walks: those of the chain, and those of the rivals that
/// evaluation.rivals names.
bool is_in_chain(const JobSpec& spec, const RunConfig& config);

/// The jobs whose results a job reads under this configuration.
std::vector<std::string> upstream_of(const JobSpec& spec, const RunConfig& config);

/// The job that leaves this output. Throws internal (70) if there is none.
const JobSpec& job_that_leaves(const std::string& output);

/// The jobs of a command behind the jobs whose results they stand on, in order. Throws usage (64), with the
/// nearest name, where no command is called so.
std::vector<std::string> jobs_up_to(const std::string& command, const RunConfig& config);

/// What these jobs read, each once.
std::vector<Input> inputs_of(const std::vector<std::string>& jobs);

/// The files behind `inputs`, sorted by label. Folders are listed as their readers would read them.
std::vector<InputFile> input_files(const JobSpec& spec, const RunConfig& config);

}  // namespace rocket
