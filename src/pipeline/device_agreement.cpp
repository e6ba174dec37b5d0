#include "pipeline/device_agreement.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/log.h"

namespace rocket {
namespace {

using nlohmann::json;

std::string packed(const RankDevice& device) {
  const NodeName node = node_of_process();
  return json{{"host", node.host}, {"boot", node.boot}, {"kind", device.kind}, {"unit", device.unit}}.dump();
}

PlacedDevice unpacked(const std::string& text) {
  const json value = json::parse(text);
  return {{value["host"], value["boot"]}, {value["kind"], value["unit"]}};
}

/// "rank 0 on gpu01", "ranks 0, 1, 2, ... (8) on gpu01 and others"
std::string ranks_with(const std::vector<PlacedDevice>& ranks, const std::string& kind) {
  constexpr std::size_t kNamed = 4;
  std::vector<std::string> names;
  std::set<std::string> hosts;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    if (ranks[rank].device.kind != kind) continue;
    names.push_back(std::to_string(rank));
    hosts.insert(ranks[rank].node.host);
  }
  const std::size_t count = names.size();
  if (count > kNamed) names.resize(kNamed);
  return fmt::format("rank{} {}{} on {}{}", count == 1 ? "" : "s", fmt::join(names, ", "),
                     count > kNamed ? fmt::format(", ... ({} ranks)", count) : "", *hosts.begin(),
                     hosts.size() > 1 ? " and other nodes" : "");
}

}  // namespace

std::string note_on_shared_gpus(const std::vector<PlacedDevice>& ranks) {
  std::map<NodeName, std::pair<int, std::set<std::string>>> nodes;  // ranks with a GPU, and their GPUs
  for (const PlacedDevice& rank : ranks) {
    if (rank.device.unit.empty()) continue;
    auto& [count, units] = nodes[rank.node];
    ++count;
    units.insert(rank.device.unit);
  }
  for (const auto& [node, found] : nodes) {
    const auto& [count, units] = found;
    if (static_cast<std::size_t>(count) == units.size()) continue;
    return fmt::format("{} ranks of {} share {} GPU{}; start one rank for each GPU", count, node.host,
                       units.size(), units.size() == 1 ? "" : "s");
  }
  return "";
}

void require_one_kind(const std::vector<PlacedDevice>& ranks, const std::string& setting) {
  const std::string& first = ranks.front().device.kind;
  for (const PlacedDevice& rank : ranks) {
    const std::string& other = rank.device.kind;
    if (other == first) continue;
    fail_config(
        "device: {}: {} would compute on {}, and {} on {}: all ranks of a job need one kind of device. Leave "
        "the nodes of one kind out, or say device: cpu",
        setting, ranks_with(ranks, first), first, ranks_with(ranks, other), other);
  }
}

void agree_on_device(Comm& comm, const std::string& setting, int rank_on_node, SharedGpu shared) {
  RankDevice mine;
  agree(comm, [&] { mine = rank_device(setting, rank_on_node); });
  std::vector<PlacedDevice> ranks;
  for (const std::string& text : comm.gather_all(packed(mine))) ranks.push_back(unpacked(text));
  agree(comm, [&] {
    require_one_kind(ranks, setting);
    const std::string note = note_on_shared_gpus(ranks);
    if (note.empty()) return;
    if (shared == SharedGpu::refused) fail_config("{}: gradients are summed over GPUs, not within one", note);
    log::warn("{}", note);
  });
}

}  // namespace rocket
