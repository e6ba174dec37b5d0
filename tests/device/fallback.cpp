#include "device/fallback.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "device/arithmetic.h"
#include "device/capture.h"
#include "device/counts.h"
#include "device/generator.h"
#include "device/host_view.h"
#include "device/one_thread.h"

namespace rocket::emulated {
namespace {

/// Operators whose result's size or value the host must know before it goes on.
bool waits(const c10::OperatorHandle& op, const std::vector<at::Tensor>& tensors) {
  static const std::set<std::string> names{"aten::nonzero",
                                           "aten::masked_select",
                                           "aten::equal",
                                           "aten::_unique2",
                                           "aten::_unique",
                                           "aten::unique_dim",
                                           "aten::bincount",
                                           "aten::unique_consecutive",
                                           "aten::unique_dim_consecutive",
                                           "aten::_assert_async",
                                           "aten::histc"};
  const std::string& name = op.operator_name().name;
  if (names.contains(name)) return true;
  if (name == "aten::repeat_interleave" && op.operator_name().overload_name == "Tensor") return true;
  // A mask as an index is turned into places first.
  const bool indexed =
      name == "aten::index" || name == "aten::index_put_" || name == "aten::_index_put_impl_";
  return indexed && std::any_of(tensors.begin() + 1, tensors.end(), [](const at::Tensor& x) {
           return x.scalar_type() == at::kBool && x.dim() > 0;
         });
}

/// A call of one operator on its way to the CPU and back.
class Call {
 public:
  Call(const c10::OperatorHandle& op, torch::jit::Stack* stack)
      : op_(op),
        schema_(op.schema()),
        stack_(stack),
        begin_(stack->size() - schema_.arguments().size()),
        arguments_(stack->begin() + static_cast<std::ptrdiff_t>(begin_), stack->end()) {}

  void run() {
    find_device();
    count_operator();
    if (waits(op_, tensors_)) count_wait();
    if (arithmetic_is_skipped() && only_writes()) {
      leave_unwritten();
      return count_launch(op_.operator_name().name, work());
    }
    compute();
    if (capturing()) record();
    count_launch(op_.operator_name().name, work());
  }

 private:
  void compute() {
    only_sizes_ = arithmetic_is_skipped() && op_.hasKernelForDispatchKey(c10::DispatchKey::Meta);
    for (std::size_t i = 0; i < arguments_.size(); ++i) (*stack_)[begin_ + i] = on_host(i);
    const OneThread serial;
    op_.redispatchBoxed(c10::DispatchKeySet(only_sizes_ ? c10::DispatchKey::Meta : c10::DispatchKey::CPU),
                        stack_);
    take_back_resized();
    take_results();
  }

  /// The same call, whose results go where those of this one are.
  void record() {
    const torch::jit::Stack results(stack_->begin() + static_cast<std::ptrdiff_t>(begin_), stack_->end());
    record_computing([op = op_, arguments = arguments_, results] {
      torch::jit::Stack again = arguments;
      Call call(op, &again);
      call.find_device();
      call.compute();
      for (std::size_t i = 0; i < results.size(); ++i) overwrite(results[i], again[i]);
    });
  }

  static void overwrite(const c10::IValue& before, const c10::IValue& now) {
    if (before.isTensorList()) {
      for (std::size_t i = 0; i < before.toTensorList().size(); ++i)
        overwrite(c10::IValue(before.toTensorVector()[i]), c10::IValue(now.toTensorVector()[i]));
    } else if (before.isTensor() && !before.toTensor().is_same(now.toTensor())) {
      host_view(before.toTensor()).copy_(host_view(now.toTensor()));
    }
  }

  void see(const at::Tensor& x, std::size_t argument) {
    if (!x.defined()) return;
    tensors_.push_back(x);
    if (x.device().is_cpu() && x.dim() == 0) return;
    if (!device_) {
      device_ = x.device();
      first_ = argument;
    }
    TORCH_CHECK(x.device() == *device_, op_.operator_name(), ": expected all tensors on one device, but '",
                schema_.arguments()[first_].name(), "' is on ", *device_, " and '",
                schema_.arguments()[argument].name(), "' on ", x.device());
  }

  void find_device() {
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      const c10::IValue& value = arguments_[i];
      if (value.isTensor()) see(value.toTensor(), i);
      if (value.isTensorList())
        for (const at::Tensor& x : value.toTensorList()) see(x, i);
      if (value.isOptionalTensorList())
        for (const std::optional<at::Tensor>& x : value.toOptionalTensorList())
          if (x) see(*x, i);
      if (value.isDevice() && !device_) {
        device_ = value.toDevice();
        first_ = i;
      }
    }
    TORCH_CHECK(device_, op_.operator_name(), ": no argument says on which device to compute");
    TORCH_CHECK(device_->type() == kEmulated, op_.operator_name(), ": its tensors are on ", *device_);
  }

  /// Each tensor once: what is written in place is read, too.
  Work work() const {
    Work all;
    const auto add = [&](const at::Tensor& x) {
      if (on_device(x)) all.bytes += static_cast<std::int64_t>(x.nbytes());
    };
    std::ranges::for_each(tensors_, add);
    const auto& returns = schema_.returns();
    for (std::size_t r = 0; r < returns.size(); ++r) {
      const c10::IValue& value = (*stack_)[stack_->size() - returns.size() + r];
      if (returns[r].alias_info() == nullptr && value.isTensor()) add(value.toTensor());
    }
    all.flops = product_flops();
    return all;
  }

  /// Of a product of matrices: twice its rows, columns and inner length; 0 for other operators.
  std::int64_t product_flops() const {
    const std::string& name = op_.operator_name().name;
    const bool added = name == "aten::addmm" || name == "aten::addmm_";
    if (!added && name != "aten::mm") return 0;
    const at::Tensor &a = tensors_[added ? 1 : 0], &b = tensors_[added ? 2 : 1];
    return 2 * a.size(0) * a.size(1) * b.size(1);
  }

  bool is_written(std::size_t argument) const {
    const c10::AliasInfo* alias = schema_.arguments()[argument].alias_info();
    return alias != nullptr && alias->isWrite();
  }

  /// Whether every result is an argument that has its size already.
  bool only_writes() const {
    const auto& returns = schema_.returns();
    return std::ranges::all_of(returns, [&](const c10::Argument& result) {
      const c10::IValue* argument =
          result.alias_info() != nullptr ? argument_of(*result.alias_info()) : nullptr;
      return argument != nullptr && argument->isTensor() && argument->toTensor().numel() > 0;
    });
  }

  void leave_unwritten() {
    stack_->resize(begin_);
    for (const c10::Argument& result : schema_.returns())
      stack_->push_back(*argument_of(*result.alias_info()));
  }

  /// What is written to while it is empty may be given its size by the operator.
  at::Tensor view(const at::Tensor& x, std::size_t argument) {
    if (only_sizes_ && on_device(x))
      return at::empty_strided(x.sizes(), x.strides(), x.options().device(at::kMeta));
    at::Tensor host = host_view(x);
    if (is_written(argument) && x.defined() && x.numel() == 0) empty_.emplace_back(x, host);
    return host;
  }

  c10::IValue on_host(std::size_t i) {
    const c10::IValue& value = arguments_[i];
    if (value.isTensor()) return view(value.toTensor(), i);
    if (value.isDevice()) return c10::Device(only_sizes_ ? at::kMeta : at::kCPU);
    if (value.isGenerator() && value.toGenerator().defined()) return for_cpu(value.toGenerator());
    if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& x : value.toTensorList()) list.push_back(view(x, i));
      return list;
    }
    if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const std::optional<at::Tensor>& x : value.toOptionalTensorList())
        list.push_back(x ? std::optional(view(*x, i)) : std::nullopt);
      return list;
    }
    return value;
  }

  void take_back_resized() {
    for (auto& [x, host] : empty_) {
      if (host.sizes() == x.sizes()) continue;
      x.resize_(host.sizes());
      host_view(x).copy_(host);
    }
  }

  /// The argument that a result is, by the names that the schema gives to what is written.
  const c10::IValue* argument_of(const c10::AliasInfo& result) const {
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      const c10::AliasInfo* alias = schema_.arguments()[i].alias_info();
      if (alias != nullptr && alias->isWrite() && alias->afterSets() == result.afterSets())
        return &arguments_[i];
    }
    return nullptr;
  }

  void take_results() {
    const auto& returns = schema_.returns();
    const std::size_t first = stack_->size() - returns.size();
    for (std::size_t r = 0; r < returns.size(); ++r) {
      c10::IValue& value = (*stack_)[first + r];
      if (const c10::AliasInfo* alias = returns[r].alias_info()) {
        const c10::IValue* argument = argument_of(*alias);
        TORCH_CHECK(argument != nullptr, op_.operator_name(),
                    ": returns a view of what it reads: register it for the emulated device");
        value = *argument;
      } else if (value.isTensor()) {
        value = moved_to_device(value.toTensor(), *device_);
      } else if (value.isTensorList()) {
        c10::List<at::Tensor> list;
        for (const at::Tensor& x : value.toTensorList()) list.push_back(moved_to_device(x, *device_));
        value = list;
      }
    }
  }

  const c10::OperatorHandle& op_;
  const c10::FunctionSchema& schema_;
  torch::jit::Stack* stack_;
  std::size_t begin_;
  std::vector<c10::IValue> arguments_;  // as they were given
  std::vector<at::Tensor> tensors_;
  std::vector<std::pair<at::Tensor, at::Tensor>> empty_;
  std::optional<c10::Device> device_;
  bool only_sizes_ = false;
  std::size_t first_ = 0;  // the argument that decides on the device
};

}  // namespace

void run_on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  Call(op, stack).run();
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>());
}

}  // namespace rocket::emulated
