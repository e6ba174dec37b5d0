#include "device/counts.h"

#include <ATen/SequenceNumber.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/function.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <vector>

#include "base/work_mark.h"
#include "device/capture.h"

namespace rocket::emulated {
namespace {

/// From this number of an autograd node on, the nodes of a thread belong to a layer.
struct Start {
  std::uint64_t node = 0;
  std::int64_t layer = -1;
};

struct Ledger {
  std::mutex mutex;
  std::map<Place, Counts> rows;
  std::unordered_map<std::uint64_t, std::vector<Start>> starts;  // by thread
};

/// Never destroyed: counted until the very end.
Ledger& ledger() {
  static auto* ledger = new Ledger;
  return *ledger;
}

thread_local WorkMark last_mark;

/// The layer of the forward pass that a node of the backward pass belongs to. Locked.
std::int64_t layer_of(const torch::autograd::Node& node) {
  const auto of_thread = ledger().starts.find(node.thread_id());
  if (of_thread == ledger().starts.end()) return -1;
  const std::vector<Start>& starts = of_thread->second;
  const auto after = std::ranges::upper_bound(starts, node.sequence_nr(), {}, &Start::node);
  return after == starts.begin() ? -1 : std::prev(after)->layer;
}

/// Locked. What a layer computes again in the backward pass is marked as itself.
Counts& here() {
  const auto node = torch::autograd::get_current_node();
  if (node == nullptr) return ledger().rows[{job_of_process, work_mark.phase, work_mark.layer}];
  const std::int64_t layer = work_mark.layer >= 0 ? work_mark.layer : layer_of(*node);
  return ledger().rows[{job_of_process, "backward", layer}];
}

void note_mark() {
  if (capturing()) return;
  const std::lock_guard lock(ledger().mutex);
  const bool phase_begins =
      work_mark.phase != last_mark.phase && work_mark.layer < 0 && *work_mark.phase != '\0';
  const bool layer_begins = work_mark.layer >= 0 && work_mark.layer != last_mark.layer;
  if (phase_begins || layer_begins) ++here().passes;
  // A layer is marked in several pieces.
  last_mark = {work_mark.phase, work_mark.layer >= 0 || phase_begins ? work_mark.layer : last_mark.layer};
  std::vector<Start>& starts = ledger().starts[at::RecordFunction::currentThreadId()];
  constexpr std::size_t most = 1 << 16;
  if (starts.size() > most) starts.erase(starts.begin(), starts.begin() + most / 2);
  starts.push_back({at::sequence_number::peek(), work_mark.layer});
}

void write_counts() {
  const char* file = std::getenv("ROCKET_DEVICE_COUNTS");
  if (file == nullptr) return;
  std::string path = file;
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    if (const char* rank = std::getenv(variable)) {
      path += std::string(".rank-") + rank;
      break;
    }
  }
  std::ofstream(path) << counts_as_json() << '\n';
}

}  // namespace

void count_operator() {
  const std::lock_guard lock(ledger().mutex);
  ++here().operators;
}

void count_launch(const std::string& name, const Work& work) {
  if (capturing()) return record_launch(name, work);
  const std::lock_guard lock(ledger().mutex);
  Counts& counts = here();
  ++counts.launches;
  ++counts.launched[name];
  ++counts.work[{name, work.bytes, work.flops}];
}

void count_graph(const Launches& launches) {
  const std::lock_guard lock(ledger().mutex);
  Counts& counts = here();
  ++counts.launches;
  ++counts.launched["graph"];
  for (const auto& [launch, count] : launches) counts.work[launch] += count;
}

void count_wait() {
  refuse_in_capture("the host waits");
  const std::lock_guard lock(ledger().mutex);
  ++here().waits;
}

void count_copy_to_device(std::int64_t bytes) {
  const std::lock_guard lock(ledger().mutex);
  ++here().copies_to_device;
  here().bytes_to_device += bytes;
}

void count_copy_to_host(std::int64_t bytes) {
  const std::lock_guard lock(ledger().mutex);
  ++here().copies_to_host;
  here().bytes_to_host += bytes;
}

void count_allocated(std::int64_t allocated) {
  const std::lock_guard lock(ledger().mutex);
  std::int64_t& peak = here().peak_bytes;
  peak = std::max(peak, allocated);
}

std::map<Place, Counts> counted() {
  const std::lock_guard lock(ledger().mutex);
  return ledger().rows;
}

Counts counted_in_all() {
  Counts all;
  for (const auto& [place, row] : counted()) {
    all.passes += row.passes;
    all.operators += row.operators;
    all.launches += row.launches;
    all.waits += row.waits;
    all.copies_to_device += row.copies_to_device;
    all.bytes_to_device += row.bytes_to_device;
    all.copies_to_host += row.copies_to_host;
    all.bytes_to_host += row.bytes_to_host;
    all.peak_bytes = std::max(all.peak_bytes, row.peak_bytes);
    for (const auto& [name, count] : row.launched) all.launched[name] += count;
    for (const auto& [work, count] : row.work) all.work[work] += count;
  }
  return all;
}

void forget_counts() {
  const std::lock_guard lock(ledger().mutex);
  ledger().rows.clear();
}

std::string counts_as_json() {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const auto& [place, c] : counted()) {
    nlohmann::ordered_json work = nlohmann::ordered_json::array();
    for (const auto& [launch, count] : c.work) {
      const auto& [name, bytes, flops] = launch;
      work.push_back({{"operator", name}, {"bytes", bytes}, {"flops", flops}, {"launches", count}});
    }
    rows.push_back({{"job", place.job},
                    {"phase", place.phase},
                    {"layer", place.layer},
                    {"passes", c.passes},
                    {"operators", c.operators},
                    {"launches", c.launches},
                    {"waits", c.waits},
                    {"copies_to_device", c.copies_to_device},
                    {"bytes_to_device", c.bytes_to_device},
                    {"copies_to_host", c.copies_to_host},
                    {"bytes_to_host", c.bytes_to_host},
                    {"peak_bytes", c.peak_bytes},
                    {"launched", c.launched},
                    {"work", work}});
  }
  return rows.dump(1);
}

void write_counts_at_exit() {
  on_work_mark = note_mark;
  std::atexit(write_counts);
}

}  // namespace rocket::emulated
