#include "buildinfo/build_info.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "buildinfo/commit.h"
#include "buildinfo/configured.h"
#include "comm/mpi_comm.h"
#include "comm/reducer.h"
#include "kernels/kernels.h"
#include "store/hdf5.h"

namespace rocket {

using nlohmann::json;
using nlohmann::ordered_json;

namespace {

/// "AMD EPYC 9575F 64-Core Processor"; empty where the system does not say.
std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "";
}

/// Those that the kernels ask for, and what LibTorch's products may use beside them.
std::vector<std::string> cpu_features() {
  std::vector<std::string> features;
#if defined(__x86_64__)
#define ROCKET_FEATURE(name) \
  if (__builtin_cpu_supports(name)) features.emplace_back(name)
  ROCKET_FEATURE("avx2");
  ROCKET_FEATURE("fma");
  ROCKET_FEATURE("avx512f");
  ROCKET_FEATURE("avx512bw");
  ROCKET_FEATURE("avx512dq");
  ROCKET_FEATURE("avx512vl");
  ROCKET_FEATURE("avx512vnni");
  ROCKET_FEATURE("avx512bf16");
#undef ROCKET_FEATURE
#endif
  return features;
}

ordered_json libraries() {
  ordered_json all;
  for (const auto& [name, found] : configured::libraries) all[name] = *found ? found : "none";
  all["NCCL"] = nccl_version();
  all["MPI"] = mpi_version();
  all["HDF5"] = hdf5_version();
  return all;
}

}  // namespace

std::string version() {
  const SourceCommit commit = source_commit();
  if (commit.released) return configured::version;
  const std::string hash = commit.hash;
  if (hash.empty()) return fmt::format("{}-dev", configured::version);
  return fmt::format("{}-dev+g{}{}", configured::version, hash.substr(0, 12), commit.dirty ? ".dirty" : "");
}

std::string libtorch_version() {
  return configured::libtorch;
}

const ordered_json& build_info() {
  static const ordered_json info = [] {
    const SourceCommit commit = source_commit();
    const bool known = *commit.hash != 0;
    return ordered_json{{"version", version()},
                        {"commit", known ? ordered_json(commit.hash) : ordered_json()},
                        {"dirty", known ? ordered_json(commit.dirty) : ordered_json()},
                        {"compiler", configured::compiler},
                        {"flags", configured::flags},
                        {"build_type", configured::build_type},
                        {"cpu",
                         {{"architecture", configured::architecture},
                          {"model", cpu_model()},
                          {"features", cpu_features()},
                          {"kernels", kernels().name}}},
                        {"libraries", libraries()}};
  }();
  return info;
}

std::string build_text() {
  const ordered_json& info = build_info();
  const auto text = [&](const char* key) { return info.at(key).get<std::string>(); };
  std::string lines = fmt::format("rocket {}\n", text("version"));
  lines += info["commit"].is_null()
               ? "commit not known\n"
               : fmt::format("commit {}{}\n", text("commit"), info["dirty"] ? ", with changes" : "");
  lines += fmt::format("{}, {}, {}\n", text("compiler"), text("build_type"), text("flags"));
  lines += fmt::format("kernels {}\n", info["cpu"]["kernels"].get<std::string>());
  for (const auto& [name, found] : info["libraries"].items())
    lines += fmt::format("{} {}\n", name, found.get<std::string>());
  lines.pop_back();
  return lines;
}

std::string build_phrase(const json& build) {
  if (build.is_string()) return build;
  return fmt::format("{}, LibTorch {}", build.at("version").get<std::string>(),
                     build.at("libraries").at("LibTorch").get<std::string>());
}

}  // namespace rocket
