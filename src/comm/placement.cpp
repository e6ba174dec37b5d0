#include "comm/placement.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/files.h"

namespace rocket {
namespace {

using nlohmann::json;

/// One node: its ranks in order, and what they may use.
struct Node {
  std::string host;
  std::vector<int> ranks;
  std::vector<RankCores> cores;
};

std::string packed(const RankCores& cores) {
  const NodeName node = node_of_process();
  return json{{"host", node.host},
              {"boot", node.boot},
              {"allowed", cores.allowed},
              {"launcher", cores.launcher},
              {"allotted", cores.allotted},
              {"quota", cores.quota},
              {"quota_group", cores.quota_group},
              {"wanted", cores.wanted}}
      .dump();
}

RankCores unpacked(const json& text) {
  return {text["allowed"].get<std::vector<int>>(),
          text["launcher"].get<std::vector<int>>(),
          text["allotted"].get<int>(),
          text["quota"].get<double>(),
          text["quota_group"].get<std::string>(),
          text["wanted"].get<int>()};
}

std::vector<Node> nodes_of(const std::vector<std::string>& ranks) {
  std::vector<Node> nodes;
  std::map<NodeName, std::size_t> known;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const json text = json::parse(ranks[rank]);
    const NodeName name{text["host"], text["boot"]};
    const auto [place, is_new] = known.try_emplace(name, nodes.size());
    if (is_new) nodes.push_back({name.host, {}, {}});
    nodes[place->second].ranks.push_back(static_cast<int>(rank));
    nodes[place->second].cores.push_back(unpacked(text));
  }
  return nodes;
}

std::string counted(std::size_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

/// "16 threads each", "1 to 2 threads each"
std::string thread_text(const std::vector<NodeThreads>& nodes, std::size_t ranks) {
  int least = nodes[0].threads[0], most = least;
  for (const NodeThreads& node : nodes) {
    least = std::min(least, *std::min_element(node.threads.begin(), node.threads.end()));
    most = std::max(most, *std::max_element(node.threads.begin(), node.threads.end()));
  }
  return fmt::format("{}{} thread{}{} ({})", least < most ? fmt::format("{} to ", least) : "", most,
                     most == 1 ? "" : "s", ranks > 1 ? " each" : "", nodes[0].source);
}

/// Of the node with most idle cores: the others have the same reason.
std::vector<std::string> warnings_of(const std::vector<Node>& nodes,
                                     const std::vector<NodeThreads>& threads) {
  std::vector<std::string> warnings;
  const auto worst = [&](int NodeThreads::*idle) {
    return static_cast<std::size_t>(
        std::max_element(threads.begin(), threads.end(),
                         [&](const auto& a, const auto& b) { return a.*idle < b.*idle; }) -
        threads.begin());
  };
  if (const std::size_t i = worst(&NodeThreads::unbound); threads[i].unbound > 0)
    warnings.push_back(fmt::format(
        "{} of {} cores of {} stay idle: the launcher has bound {} to {}. `mpirun --bind-to none` lets the "
        "ranks "
        "share all of them",
        threads[i].unbound, threads[i].unbound + threads[i].cores, nodes[i].host,
        nodes[i].ranks.size() == 1 ? "its one rank" : fmt::format("its {} ranks", nodes[i].ranks.size()),
        threads[i].cores == 1 ? "one core" : fmt::format("{} cores", threads[i].cores)));
  if (const std::size_t i = worst(&NodeThreads::unused); threads[i].unused > 0)
    warnings.push_back(
        fmt::format("{} of {} cores of {} stay idle: OMP_NUM_THREADS is {} for each of its {}. Unset it, and "
                    "they are used",
                    threads[i].unused, threads[i].cores, nodes[i].host, nodes[i].cores.front().wanted,
                    counted(nodes[i].ranks.size(), "rank")));
  return warnings;
}

}  // namespace

NodeName node_of_process() {
  char host[256] = "";
  ::gethostname(host, sizeof(host) - 1);
  return {host, read_file("/proc/sys/kernel/random/boot_id")};
}

Placement place_ranks(Comm& comm, const RankCores& mine) {
  const std::vector<Node> nodes = nodes_of(comm.gather_all(packed(mine)));
  std::vector<NodeThreads> threads;
  for (const Node& node : nodes) threads.push_back(share_cores(node.cores));
  Placement placement;
  placement.nodes = static_cast<int>(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const auto& ranks = nodes[i].ranks;
    const auto found = std::find(ranks.begin(), ranks.end(), comm.rank());
    if (found == ranks.end()) continue;
    placement.rank_on_node = static_cast<int>(found - ranks.begin());
    placement.ranks_on_node = static_cast<int>(ranks.size());
    placement.threads = threads[i].threads[static_cast<std::size_t>(found - ranks.begin())];
  }
  const auto ranks = static_cast<std::size_t>(comm.size());
  placement.summary = fmt::format("{} on {}, {}", counted(ranks, "rank"), counted(nodes.size(), "node"),
                                  thread_text(threads, ranks));
  placement.warnings = warnings_of(nodes, threads);
  return placement;
}

}  // namespace rocket
