#include "backend/rows.h"

#include <algorithm>

namespace rocket {

PackedRows choose_rows(const PackedRows& rows, const std::vector<std::int64_t>& asked) {
  const at::Tensor index = at::tensor(asked, at::kLong).to(rows.ids_T.device());
  PackedRows chosen{rows.ids_T.index_select(0, index),
                    rows.positions_T.index_select(0, index),
                    {},
                    rows.sequences,
                    rows.least_id,
                    rows.most_id};
  for (const std::int64_t start : rows.starts)
    chosen.starts.push_back(std::ranges::lower_bound(asked, start) - asked.begin());
  return chosen;
}

PackedRows pack(std::span<const std::vector<TokenId>> sequences, at::Device device) {
  PackedRows rows;
  rows.starts.push_back(0);
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    rows.starts.push_back(rows.starts.back() + static_cast<std::int64_t>(sequences[s].size()));
    rows.sequences.push_back(static_cast<std::int64_t>(s));
  }
  rows.ids_T = at::empty({rows.tokens()}, at::kLong);
  rows.positions_T = at::empty({rows.tokens()}, at::kLong);
  auto* ids = rows.ids_T.mutable_data_ptr<std::int64_t>();
  auto* positions = rows.positions_T.mutable_data_ptr<std::int64_t>();
  for (const auto& sequence : sequences) {
    for (std::size_t i = 0; i < sequence.size(); ++i) {
      *ids++ = sequence[i];
      rows.least_id = std::min(rows.least_id, sequence[i]);
      rows.most_id = std::max(rows.most_id, sequence[i]);
      *positions++ = static_cast<std::int64_t>(i);
    }
  }
  rows.ids_T = rows.ids_T.to(device);
  rows.positions_T = rows.positions_T.to(device);
  return rows;
}

}  // namespace rocket
