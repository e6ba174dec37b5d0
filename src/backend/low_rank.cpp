#include "backend/low_rank.h"

#include <utility>

#include "backend/upload.h"

namespace rocket {

ServedRows::ServedRows(std::vector<LowRankSegment> segments, std::int64_t rows, at::Device device)
    : segments_(std::move(segments)),
      rows_(rows),
      device_(device),
      number_T_(std::make_shared<at::Tensor>()) {
}

const at::Tensor& ServedRows::number_T() const {
  if (number_T_->defined()) return *number_T_;
  at::Tensor numbers = at::full({rows_}, -1, at::kInt);
  for (const LowRankSegment& s : segments_) numbers.narrow(0, s.first_row, s.rows).fill_(s.number);
  *number_T_ = upload(numbers, device_);
  return *number_T_;
}

}  // namespace rocket
