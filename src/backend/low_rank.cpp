#include "backend/low_rank.h"

#include "backend/upload.h"

namespace rocket {

ServedRows::ServedRows(std::span<const LowRankSegment> segments, std::int64_t rows, at::Device device) {
  if (device.is_cpu()) return;
  at::Tensor numbers = at::full({rows}, -1, at::kInt);
  for (const LowRankSegment& s : segments) numbers.narrow(0, s.first_row, s.rows).fill_(s.number);
  number_T_ = upload(numbers, device);
}

}  // namespace rocket
