// The jobs of a run, one file each. A body is called when the job is not done; what it leaves is in
// docs/interface.md section 3.
#pragma once

#include "comm/placement.h"
#include "command.h"
#include "pipeline/runner.h"

namespace rocket {

/// Into so many shots score cuts an adapter's work.
inline constexpr std::int64_t shots_per_unit = 50;

JobEnd score(JobContext& context);               // units: bank x shots
JobEnd experts(JobContext& context);             // root: Algorithm 1
JobEnd embed(JobContext& context);               // units: corpus blocks
JobEnd select(JobContext& context);              // all ranks together: Algorithm 2
JobEnd finetune(JobContext& context);            // loop: the mixture, data parallel
JobEnd rationalize(JobContext& context);         // units: shots without a rationale; no step of the chain
JobEnd train_rival(JobContext& context);         // loop: one of tuned_rivals, data parallel
JobEnd train_adapter(JobContext& context);       // loop: one LoRA on one data set; no step of the chain
JobEnd evaluate(JobContext& context);            // units: systems x evaluation items
JobEnd export_mixture_job(JobContext& context);  // root: RUN/expert

/// The body behind the name of a JobSpec.
JobBody job_body(const std::string& name);

/// Collective. Runs every job that is not done, in order, then prints the result table.
void run(Session& session);

/// Collective. Trains the rivals of evaluation.rivals that are trained, one after another.
void rivals(Session& session, Stale stale);

/// The job that `rocket check --job` names, and those that it stands on. Without a name: the whole chain,
/// train-adapter too where adapter.records is set, and only that where neither a bank nor a task is.
std::vector<std::string> checked_jobs(const RunConfig& config, const std::string& one_job);

/// Collective. Answers generate.input in generate.output.
void generate(Session& session, Stale stale);
/// Reads all prompts once. Throws data (65) for what is broken, and where there is none.
std::int64_t count_prompts(const RunConfig& config);
/// Which of the generations of a run this is: a name made from the path of generate.output.
std::string generation_of(const RunConfig& config);

/// Collective. Validates everything that these jobs will read and prints the plan; writes nothing.
void check(Session& session, std::vector<std::string> jobs);

/// Root only. Prints the commands of the chain in their order, and after which others each can start.
void plan(const Session& session, const std::string& format);

/// Root only. Prints the table of a run, or what an adapter or model folder is and whether rocket can use it.
void inspect(const Command& command);

/// Alone. JSON strings to ids or back, line by line.
void tokenize(const Command& command);

/// Alone. JSON strings on stdin to {"found", "rule"}, line by line.
void extract(const ExtractRequest& request);

/// Chats on stdin, one a line, -> their texts and ids by the model's own chat template.
void chat(const ChatRequest& request);

/// Collective. Embeds the records of files and writes those that are not near one that stands.
void dedup(Comm& comm, const DedupRequest& request, const Placement& placement);

/// What train-adapter would do. Throws what it would throw before its work.
struct AdapterPlan {
  std::int64_t records = 0, examples = 0;  // examples: records that have a target left at training.cutoff
  std::int64_t tokens = 0;                 // of the examples, once
  std::int64_t parameters = 0, steps = 0;
};
AdapterPlan check_train_adapter(const RunConfig& config);

/// Collective. Lists, runs or tabulates the points of a sweep.
void sweep(Comm& comm, const Command& command, const Placement& placement);

/// Root only. Writes report.html from what there is.
void report(const Session& session);

/// One of mixture, experts, merged_lora, merged_model; `folder` empty = the place that docs/interface.md
/// section 7 names.
struct ExportRequest {
  std::string form = "mixture";
  std::string folder;
};
/// Root only.
void export_expert(const Session& session, const ExportRequest& request);

}  // namespace rocket
