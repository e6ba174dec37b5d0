#include "selection/shared_rows.h"

#include <cstring>
#include <string>

namespace rocket {

std::vector<float> SharedRows::gather(Comm& comm, std::span<const std::int64_t> records) const {
  const std::size_t row_bytes = static_cast<std::size_t>(dimension_) * sizeof(float);
  const auto owner = [&](std::int64_t record) {
    return static_cast<std::size_t>(record / unit_size_ % comm.size());
  };
  std::string mine;
  for (std::int64_t record : records) {
    if (owner(record) == static_cast<std::size_t>(comm.rank())) {
      const float* row = units_.at(record / unit_size_).data() + record % unit_size_ * dimension_;
      mine.append(reinterpret_cast<const char*>(row), row_bytes);
    }
  }
  const std::vector<std::string> all = comm.gather_all(mine);
  std::vector<std::size_t> read(all.size(), 0);
  std::vector<float> rows(records.size() * static_cast<std::size_t>(dimension_));
  for (std::size_t i = 0; i < records.size(); ++i) {
    const std::size_t from = owner(records[i]);
    std::memcpy(rows.data() + i * static_cast<std::size_t>(dimension_), all[from].data() + read[from],
                row_bytes);
    read[from] += row_bytes;
  }
  return rows;
}

}  // namespace rocket
