// The expert for others: docs/interface.md section 7.
#include "evaluation/export.h"

#include "base/error.h"
#include "base/log.h"
#include "jobs.h"
#include "model/device.h"
#include "pipeline/options.h"
#include "pipeline/results.h"

namespace rocket {

namespace {

fs::path default_folder(const RunDirectory& run, const std::string& form) {
  return form == "mixture" ? run.expert() : run.expert() / form;
}

void write_form(const Session& session, const std::string& form, const fs::path& folder) {
  const Decoder decoder = Decoder::load(session.config.base.path, compute_type(session.config), at::kCPU);
  const Mixture mixture = trained_mixture(session, decoder.modules(), at::kCPU);
  const std::string base = fs::absolute(session.config.base.path).lexically_normal().string();
  const PromptTemplate prompt = prompt_template(session.config);
  if (form == "mixture")
    export_mixture(folder, mixture, decoder.modules(), base, prompt);
  else if (form == "experts")
    export_experts(folder, mixture, decoder.modules(), base, prompt);
  else if (form == "merged_lora")
    export_merged_lora(folder, mixture, decoder.modules(), base, prompt);
  else
    export_merged_model(folder, mixture, decoder.modules(), base);
  log::info("export: {}", folder.string());
}

}  // namespace

JobEnd export_mixture_job(JobContext& context) {
  Session& session = context.session;
  on_root(session.comm, [&] { write_form(session, "mixture", default_folder(session.run, "mixture")); });
  return JobEnd::finished;
}

void export_expert(const Session& session, const ExportRequest& request) {
  require_paths(session.config, std::array{Input::base, Input::bank});
  require_done(session, "finetune", "export");
  write_form(session, request.form,
             request.folder.empty() ? default_folder(session.run, request.form) : fs::path(request.folder));
}

}  // namespace rocket
