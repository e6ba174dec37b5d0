#include "evaluation/export.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "adapters/merges.h"
#include "adapters/training_prompt.h"
#include "base/files.h"
#include "evaluation/export_folder.h"
#include "evaluation/merged_weights.h"
#include "formats/tensors.h"
#include "model/device.h"

namespace rocket {
namespace {

using json = nlohmann::ordered_json;

constexpr const char* mixture_py =
#include "evaluation/mixture.py.inc"
    ;

void write_experts(const fs::path& folder, const Mixture& mixture, std::span<const Module> modules,
                   const std::string& base_path, const PromptTemplate& prompt) {
  for (const auto& expert : experts_of(mixture)) {
    write_training_prompt(folder / expert.name, prompt);
    write_adapter(folder / expert.name, expert, modules, base_path);
  }
}

const std::string& name_of_module(const MixtureModule& module, std::span<const Module> modules) {
  return modules[static_cast<std::size_t>(module.module)].name;
}

void write_routers(const fs::path& path, const Mixture& mixture, std::span<const Module> modules) {
  std::vector<at::Tensor> alive;
  std::vector<StoredTensor> stored;
  for (const auto& module : mixture.modules()) {
    alive.push_back(module.router_NI.detach().to(at::kCPU, at::kFloat).contiguous());
    stored.push_back(as_stored(name_of_module(module, modules) + ".router.weight", alive.back()));
  }
  write_safetensors(path, stored);
}

std::string description(const Mixture& mixture, std::span<const Module> modules,
                        const std::string& base_path) {
  json by_module = json::object();
  for (const auto& module : mixture.modules()) by_module[name_of_module(module, modules)] = module.experts;
  json about{{"base", base_path},
             {"top_k", mixture.options().top_k},
             {"experts", mixture.expert_names()},
             {"modules", by_module}};
  if (mixture.options().top_p < 1) about["top_p"] = mixture.options().top_p;
  return about.dump(2) + "\n";
}

}  // namespace

void export_mixture(const fs::path& folder, const Mixture& mixture, std::span<const Module> modules,
                    const std::string& base_path, const PromptTemplate& prompt) {
  ExportFolder pending(folder, "mixture.json");
  write_experts(pending.temporary() / "experts", mixture, modules, base_path, prompt);
  list_entries(pending.temporary() / "experts");  // the `experts` form may be exported to the same place
  write_routers(pending.temporary() / "router.safetensors", mixture, modules);
  write_file(pending.temporary() / "mixture.py", mixture_py);
  write_file(pending.temporary() / "mixture.json", description(mixture, modules, base_path));
  pending.commit();
}

void export_experts(const fs::path& folder, const Mixture& mixture, std::span<const Module> modules,
                    const std::string& base_path, const PromptTemplate& prompt) {
  ExportFolder pending(folder, "");
  write_experts(pending.temporary(), mixture, modules, base_path, prompt);
  pending.commit();
}

void export_merged_lora(const fs::path& folder, const Mixture& mixture, std::span<const Module> modules,
                        const std::string& base_path, const PromptTemplate& prompt) {
  ExportFolder pending(folder, "adapter_config.json");
  write_training_prompt(pending.temporary(), prompt);
  write_adapter(pending.temporary(), uniform_merge(experts_of(mixture), "uniform_merge"), modules, base_path);
  pending.commit();
}

void export_merged_model(const fs::path& folder, const Mixture& mixture, std::span<const Module> modules,
                         const fs::path& base_path, std::int64_t shard_bytes) {
  ExportFolder pending(folder, "config.json");
  copy_model_files(base_path, pending.temporary());
  write_merged_weights(pending.temporary(), base_path, uniform_merge(experts_of(mixture), "uniform_merge"),
                       modules, shard_bytes);
  pending.commit();
}

}  // namespace rocket
