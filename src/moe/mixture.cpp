#include "moe/mixture.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "backend/backward.h"
#include "base/error.h"
#include "moe/router.h"

namespace rocket {
namespace {

std::int64_t sum_of_ranks(const MixtureModule& m) {
  std::int64_t sum = 0;
  for (const std::int64_t r : m.ranks) sum += r;
  return sum;
}

bool has_choice(const MixtureModule& m) {
  return m.experts.size() > 1;
}

/// The experts that adapt a module of the base.
MixtureModule experts_of(std::span<const LoraAdapter> experts, std::int64_t module) {
  MixtureModule m{.module = module};
  for (std::size_t i = 0; i < experts.size(); ++i) {
    if (const LoraWeight* weight = experts[i].find(module)) {
      m.experts.push_back(static_cast<std::int64_t>(i));
      m.ranks.push_back(weight->lora_r());
      m.scales.push_back(weight->scale);
    }
  }
  return m;
}

void copy_experts(std::span<const LoraAdapter> experts, MixtureModule& m) {
  std::int64_t column = 0;
  for (std::size_t i = 0; i < m.experts.size(); ++i) {
    const LoraWeight& weight = *experts[static_cast<std::size_t>(m.experts[i])].find(m.module);
    m.a_RI.narrow(0, column, m.ranks[i]).copy_(weight.a_RI);
    m.b_OR.narrow(1, column, m.ranks[i]).copy_(weight.b_OR);
    column += m.ranks[i];
  }
}

}  // namespace

Mixture Mixture::assemble(std::span<const LoraAdapter> experts, std::span<const Module> modules,
                          const MixtureOptions& options, at::Device device) {
  const at::NoGradGuard no_grad;
  Mixture mixture;
  mixture.options_ = options;
  for (const LoraAdapter& expert : experts) mixture.expert_names_.push_back(expert.name);
  mixture.lay_out(experts, modules);
  if (mixture.ranges_.empty()) fail_internal("a mixture of no experts");
  const ParameterRange& last = mixture.ranges_.back();
  mixture.flat_P = at::zeros({last.offset + last.count}, at::TensorOptions(at::kFloat).device(device));
  mixture.view_parameters();
  for (MixtureModule& m : mixture.modules_) {
    copy_experts(experts, m);
    m.router_NI.copy_(options.router == RouterKind::arrow
                          ? arrow_router(m)
                          : linear_router(m, modules[static_cast<std::size_t>(m.module)].name, options.seed));
  }
  return mixture;
}

void Mixture::lay_out(std::span<const LoraAdapter> experts, std::span<const Module> modules) {
  for (std::size_t i = 0; i < modules.size(); ++i) {
    MixtureModule m = experts_of(experts, static_cast<std::int64_t>(i));
    if (!m.experts.empty()) modules_.push_back(std::move(m));
  }
  places_.resize(modules_.size());
  const auto input = [&](std::size_t w) {
    return modules[static_cast<std::size_t>(modules_[w].module)].input;
  };
  for (std::size_t w = 0; w < modules_.size(); ++w) {
    if (w == 0 || input(w) < 0 || input(w) != input(w - 1)) lay_out_group(w, modules);
  }
}

/// The modules from `first` on that read its input.
void Mixture::lay_out_group(std::size_t first, std::span<const Module> modules) {
  const auto module = [&](std::size_t w) -> const Module& {
    return modules[static_cast<std::size_t>(modules_[w].module)];
  };
  std::size_t end = first + 1;
  while (end < modules_.size() && module(first).input >= 0 && module(end).input == module(first).input) ++end;
  for (std::size_t w = first; w < end; ++w)
    places_[w].a = add_range(module(w).name + ".lora_A", sum_of_ranks(modules_[w]), module(w).inputs, false);
  for (std::size_t w = first; w < end; ++w)
    places_[w].router =
        add_range(module(w).name + ".router.weight", static_cast<std::int64_t>(modules_[w].experts.size()),
                  module(w).inputs, true);
  for (std::size_t w = first; w < end; ++w)
    places_[w].b = add_range(module(w).name + ".lora_B", module(w).outputs, sum_of_ranks(modules_[w]), false);
}

std::size_t Mixture::add_range(const std::string& name, std::int64_t rows, std::int64_t columns,
                               bool router) {
  const std::int64_t offset = ranges_.empty() ? 0 : ranges_.back().offset + ranges_.back().count;
  ranges_.push_back({name, {rows, columns}, offset, rows * columns, router});
  return ranges_.size() - 1;
}

void Mixture::view_parameters() {
  const auto view = [&](std::size_t place) {
    const ParameterRange& range = ranges_[place];
    return flat_P.narrow(0, range.offset, range.count).view(range.shape).detach();
  };
  for (std::size_t w = 0; w < modules_.size(); ++w) {
    modules_[w].a_RI = view(places_[w].a);
    modules_[w].b_OR = view(places_[w].b);
    modules_[w].router_NI = view(places_[w].router);
  }
}

std::int64_t Mixture::position(std::int64_t module) const {
  const auto found = std::ranges::lower_bound(modules_, module, {}, &MixtureModule::module);
  return found != modules_.end() && found->module == module ? found - modules_.begin() : -1;
}

void Mixture::track_gradient(const at::Tensor& gradient_P, bool routers_only) {
  view_parameters();
  if (!gradient_P.defined()) return;
  const auto track = [&](at::Tensor& parameter, std::size_t place) {
    const ParameterRange& range = ranges_[place];
    if (routers_only && !range.router) return;
    parameter.requires_grad_();
    // Autograd adds in place to a gradient that is there already: no view of a view, no copy of the whole
    // buffer.
    parameter.mutable_grad() = gradient_P.narrow(0, range.offset, range.count).view(range.shape);
  };
  for (std::size_t w = 0; w < modules_.size(); ++w) {
    track(modules_[w].a_RI, places_[w].a);
    track(modules_[w].b_OR, places_[w].b);
    track(modules_[w].router_NI, places_[w].router);
  }
}

void Mixture::after_gradient(const std::function<void(const ParameterRange&)>& added) const {
  for (std::size_t w = 0; w < modules_.size(); ++w) {
    const auto watch = [&](const at::Tensor& parameter, std::size_t place) {
      if (parameter.requires_grad())
        rocket::after_gradient(parameter, [added, range = ranges_[place]] { added(range); });
    };
    watch(modules_[w].a_RI, places_[w].a);
    watch(modules_[w].b_OR, places_[w].b);
    // Autograd calls even where nothing was added.
    if (has_choice(modules_[w])) watch(modules_[w].router_NI, places_[w].router);
  }
}

std::vector<ParameterRange> Mixture::without_gradient() const {
  std::vector<ParameterRange> ranges;
  for (std::size_t w = 0; w < modules_.size(); ++w) {
    const MixtureModule& m = modules_[w];
    if (!m.a_RI.requires_grad()) ranges.insert(ranges.end(), {ranges_[places_[w].a], ranges_[places_[w].b]});
    if (!m.router_NI.requires_grad() || !has_choice(m)) ranges.push_back(ranges_[places_[w].router]);
  }
  return ranges;
}

LoraAdapter Mixture::expert(std::int64_t i) const {
  const at::NoGradGuard no_grad;
  LoraAdapter adapter{expert_names_.at(static_cast<std::size_t>(i)), {}};
  for (const MixtureModule& m : modules_) {
    const auto found = std::ranges::find(m.experts, i);
    if (found == m.experts.end()) continue;
    const auto place = static_cast<std::size_t>(found - m.experts.begin());
    std::int64_t column = 0;
    for (std::size_t before = 0; before < place; ++before) column += m.ranks[before];
    adapter.weights.push_back({m.module, m.a_RI.narrow(0, column, m.ranks[place]).clone(),
                               m.b_OR.narrow(1, column, m.ranks[place]).clone(at::MemoryFormat::Contiguous),
                               m.scales[place]});
  }
  return adapter;
}

}  // namespace rocket
