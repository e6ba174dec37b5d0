#include "base/cores.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <sstream>
#include <string_view>

#include "base/control_group.h"

namespace rocket {
namespace {

constexpr int kMostCores = 1 << 16;
constexpr std::array<std::string_view, 11> kLaunchers = {
    "mpirun", "mpiexec",       "orterun",         "orted",           "prterun", "prted",
    "prun",   "mpiexec.hydra", "hydra_pmi_proxy", "hydra_bstrap_pr", "palsd"};

/// The affinity mask of a process; 0 is this one. Empty where it cannot be read.
std::vector<int> mask_of(pid_t process) {
  const std::size_t bytes = CPU_ALLOC_SIZE(kMostCores);
  std::vector<int> cores;
  if (cpu_set_t* set = CPU_ALLOC(kMostCores)) {
    CPU_ZERO_S(bytes, set);
    if (sched_getaffinity(process, bytes, set) == 0) {
      for (int core = 0; core < kMostCores; ++core)
        if (CPU_ISSET_S(static_cast<std::size_t>(core), bytes, set)) cores.push_back(core);
    }
    CPU_FREE(set);
  }
  return cores;
}

/// The process's name and its parent; parent 0 at the end of the line.
std::pair<std::string, pid_t> name_and_parent(pid_t process) {
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  const std::string text{std::istreambuf_iterator<char>(file), {}};  // "12 (a name) S 11 ..."
  const std::size_t open = text.find('('), close = text.rfind(')');
  if (open == std::string::npos || close == std::string::npos) return {"", 0};
  std::istringstream rest(text.substr(close + 1));
  std::string state;
  pid_t parent = 0;
  rest >> state >> parent;
  return {text.substr(open + 1, close - open - 1), parent};
}

/// What the nearest launcher above this process may use. Scripts may lie between.
std::vector<int> mask_of_launcher() {
  for (pid_t process = getppid(); process > 1;) {
    const auto [name, parent] = name_and_parent(process);
    if (std::find(kLaunchers.begin(), kLaunchers.end(), name) != kLaunchers.end()) return mask_of(process);
    process = parent;
  }
  return {};
}

/// The first number in a variable ("4,2": OpenMP's levels); 0 where it is unset or no number.
int first_number_in(const char* variable) {
  const char* text = std::getenv(variable);
  int number = 0;
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), number);
  return std::max(0, number);
}

std::set<int> union_of(std::span<const RankCores> ranks, std::vector<int> RankCores::*cores) {
  std::set<int> all;
  for (const RankCores& rank : ranks) all.insert((rank.*cores).begin(), (rank.*cores).end());
  return all;
}

/// Whole cores of each rank: its share, rounded down, and one more for the largest remainders.
std::vector<int> whole_shares(std::span<const RankCores> ranks) {
  std::map<int, int> users;
  for (const RankCores& rank : ranks)
    for (const int core : rank.allowed) ++users[core];
  std::vector<double> remainder;
  std::vector<int> threads;
  for (const RankCores& rank : ranks) {
    double share = 1e-9;
    for (const int core : rank.allowed) share += 1.0 / users[core];
    threads.push_back(std::max(1, static_cast<int>(share)));
    remainder.push_back(std::round(1e6 * (share - threads.back())));
  }
  std::vector<std::size_t> order(ranks.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return remainder[a] > remainder[b]; });
  int left = static_cast<int>(users.size()) - std::accumulate(threads.begin(), threads.end(), 0);
  for (const std::size_t rank : order) {
    if (left <= 0) break;
    if (threads[rank] >= static_cast<int>(ranks[rank].allowed.size())) continue;
    ++threads[rank];
    --left;
  }
  return threads;
}

/// Takes threads from the ranks that have most, the last of them first, until `those` have at most `limit`
/// together or one each. True if any was taken.
bool limit_threads(std::vector<int>& threads, const std::vector<std::size_t>& those, int limit) {
  int sum = 0;
  for (const std::size_t rank : those) sum += threads[rank];
  bool taken = false;
  for (; sum > limit && sum > static_cast<int>(those.size()); --sum, taken = true) {
    const auto most = std::max_element(those.rbegin(), those.rend(),
                                       [&](auto a, auto b) { return threads[a] < threads[b]; });
    --threads[*most];
  }
  return taken;
}

}  // namespace

RankCores cores_of_process() {
  const CpuQuota quota = cpu_quota();
  return {.allowed = mask_of(0),
          .launcher = mask_of_launcher(),
          .allotted = first_number_in("SLURM_CPUS_ON_NODE"),
          .quota = quota.cores,
          .quota_group = quota.group,
          .wanted = first_number_in("OMP_NUM_THREADS")};
}

NodeThreads share_cores(std::span<const RankCores> ranks) {
  const std::set<int> usable = union_of(ranks, &RankCores::allowed);
  std::set<int> launcher = union_of(ranks, &RankCores::launcher);
  std::erase_if(launcher, [&](int core) { return usable.contains(core); });
  NodeThreads node{.threads = whole_shares(ranks),
                   .source = ranks.size() > 1 ? "a share of the cores" : "the cores it may use",
                   .cores = std::max(1, static_cast<int>(usable.size())),
                   .unbound = static_cast<int>(launcher.size())};
  std::map<std::string, std::pair<int, std::vector<std::size_t>>> limits;  // what sets it -> cores, ranks
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const RankCores& r = ranks[rank];
    const auto add = [&](const std::string& source, double cores) {
      auto& [limit, members] = limits[source];
      limit = static_cast<int>(cores + 1e-9);
      members.push_back(rank);
    };
    if (r.allotted > 0) add("SLURM_CPUS_ON_NODE", r.allotted);
    if (r.quota > 0) add("the CPU quota of " + r.quota_group, r.quota);
  }
  for (const auto& [source, limit_and_members] : limits) {
    const auto& [limit, members] = limit_and_members;
    if (limit_threads(node.threads, members, limit)) node.source = source;
    if (members.size() < ranks.size()) continue;
    node.unbound = std::clamp(limit - node.cores, 0, node.unbound);
    node.cores = std::clamp(limit, 1, node.cores);
  }
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    if (ranks[rank].wanted == 0) continue;
    node.unused += std::max(0, node.threads[rank] - ranks[rank].wanted);
    node.threads[rank] = ranks[rank].wanted;
    node.source = "OMP_NUM_THREADS";
  }
  return node;
}

}  // namespace rocket
