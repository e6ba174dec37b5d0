#include "training/fixed_order_reducer.h"

#include <optional>

#include "comm/fixed_order_sum.h"

namespace rocket {
namespace {

class FixedOrderReducer : public Reducer {
 public:
  explicit FixedOrderReducer(at::Device device) : device_(device) {}

  bool in_order() const override { return true; }

  void begin(float* data, std::size_t count, std::int64_t micro_batches) override {
    values_P_ = at::from_blob(data, {static_cast<std::int64_t>(count)},
                              at::TensorOptions(at::kFloat).device(device_));
    sum_.emplace(micro_batches, count);
  }

  void ready(std::size_t, std::size_t) override {}

  void added(std::int64_t micro_batch) override {
    const at::Tensor host_P = values_P_.to(at::kCPU);
    sum_->add(micro_batch, {host_P.const_data_ptr<float>(), static_cast<std::size_t>(host_P.numel())});
    values_P_.zero_();
  }

  void finish(Comm& comm) override {
    at::Tensor total_P = at::empty({values_P_.numel()}, at::kFloat);
    sum_->finish(comm, {total_P.mutable_data_ptr<float>(), static_cast<std::size_t>(total_P.numel())});
    values_P_.copy_(total_P);
  }

 private:
  at::Device device_;
  at::Tensor values_P_;  // a view of the caller's
  std::optional<FixedOrderSum> sum_;
};

}  // namespace

std::unique_ptr<Reducer> make_fixed_order_reducer(at::Device device) {
  return std::make_unique<FixedOrderReducer>(device);
}

}  // namespace rocket
