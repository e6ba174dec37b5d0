#include "device/capture.h"

#include <atomic>
#include <utility>

#include "device/arithmetic.h"

namespace rocket::emulated {
namespace {

std::atomic<bool> refused = false;

class Recording final : public LaunchGraph {
 public:
  void replay() override {
    refuse_in_capture("a graph is started");
    count_operator();
    Launches all = launches_;
    for (const auto& [name, work] : by_values_) {
      const Work now = work();
      ++all[{name, now.bytes, now.flops}];
    }
    count_graph(all);
    if (arithmetic_is_skipped()) return;
    for (const auto& computing : computing_) computing();
  }

  Launches launches_;
  std::vector<std::pair<std::string, std::function<Work()>>> by_values_;
  std::vector<std::function<void()>> computing_;
  std::vector<at::Tensor> memory_;
};

thread_local Recording* under_way = nullptr;

}  // namespace

bool capturing() {
  return under_way != nullptr;
}

void refuse_in_capture(const char* what) {
  TORCH_CHECK(!capturing(), "emulated device: ", what, " while launches are recorded for a graph");
}

void record_launch(const std::string& name, const Work& work) {
  ++under_way->launches_[{name, work.bytes, work.flops}];
}

void record_launch(const std::string& name, std::function<Work()> work) {
  under_way->by_values_.emplace_back(name, std::move(work));
}

void record_computing(std::function<void()> again) {
  if (!arithmetic_is_skipped()) under_way->computing_.push_back(std::move(again));
}

void keep_memory(const at::Tensor& x) {
  if (!arithmetic_is_skipped()) under_way->memory_.push_back(x);
}

std::unique_ptr<LaunchGraph> capture(at::Device /*device*/, const std::function<void()>& work,
                                     LaunchGraph* /*beside*/) {
  refuse_in_capture("another graph is begun");
  auto graph = std::make_unique<Recording>();
  under_way = graph.get();
  try {
    work();
  } catch (...) {
    under_way = nullptr;
    throw;
  }
  under_way = nullptr;
  return graph;
}

CaptureLaunches graphs() {
  return refused ? nullptr : &capture;
}

WithoutGraphs::WithoutGraphs() {
  refused = true;
}

WithoutGraphs::~WithoutGraphs() {
  refused = false;
}

}  // namespace rocket::emulated
