#include "backend/rows.h"

#include <algorithm>

#include "backend/upload.h"

namespace rocket {

PackedRows choose_rows(const PackedRows& rows, const std::vector<std::int64_t>& asked) {
  const at::Tensor index = upload(asked, rows.ids_T.device());
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

PackedRows lay_out(std::span<const std::int64_t> ids, std::span<const std::int64_t> positions,
                   std::vector<std::int64_t> starts, std::vector<std::int64_t> sequences, at::Device device) {
  PackedRows rows{
      upload(ids, device), upload(positions, device), std::move(starts), std::move(sequences), 0, 0};
  for (const std::int64_t id : ids) {
    rows.least_id = std::min(rows.least_id, static_cast<TokenId>(id));
    rows.most_id = std::max(rows.most_id, static_cast<TokenId>(id));
  }
  return rows;
}

PackedRows pack(std::span<const std::vector<TokenId>> sequences, at::Device device) {
  std::vector<std::int64_t> ids, positions, starts = {0}, numbers;
  for (const std::vector<TokenId>& sequence : sequences) {
    for (const TokenId id : sequence) {
      ids.push_back(id);
      positions.push_back(static_cast<std::int64_t>(ids.size()) - 1 - starts.back());
    }
    numbers.push_back(static_cast<std::int64_t>(numbers.size()));
    starts.push_back(static_cast<std::int64_t>(ids.size()));
  }
  return lay_out(ids, positions, std::move(starts), std::move(numbers), device);
}

}  // namespace rocket
