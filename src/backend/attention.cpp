#include "backend/attention.h"

#include <algorithm>

#include "backend/upload.h"

namespace rocket {
namespace {

/// Sequences in the order of their lengths, empty ones left out.
std::vector<std::size_t> sequences_by_length(const PackedRows& rows) {
  std::vector<std::size_t> order;
  for (std::size_t s = 0; s < rows.sequences.size(); ++s) {
    if (rows.length(s) > 0) order.push_back(s);
  }
  std::ranges::stable_sort(order, {}, [&](std::size_t s) { return rows.length(s); });
  return order;
}

LengthGroups groups_by_length(const PackedRows& rows) {
  const at::Device device = rows.ids_T.device();
  const std::vector<std::size_t> sequences = sequences_by_length(rows);
  std::vector<std::int64_t> order;
  for (const std::size_t s : sequences) {
    for (std::int64_t row = rows.starts[s]; row < rows.starts[s + 1]; ++row) order.push_back(row);
  }
  std::vector<std::int64_t> inverse(order.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    inverse[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
  LengthGroups groups{{}, {}, upload(order, device), upload(inverse, device)};
  for (const std::size_t s : sequences) {
    const std::int64_t length = rows.length(s);
    if (groups.lengths.empty() || groups.lengths.back() != length) {
      groups.lengths.push_back(length);
      groups.rows.push_back(0);
    }
    groups.rows.back() += length;
  }
  return groups;
}

}  // namespace

const LengthGroups& AttentionRows::by_length() const {
  if (made_->groups.lengths.empty()) made_->groups = groups_by_length(rows_);
  return made_->groups;
}

const RowStarts& AttentionRows::starts() const {
  RowStarts& starts = made_->starts;
  if (starts.first_rows.defined()) return starts;
  const std::vector<int> first_rows(rows_.starts.begin(), rows_.starts.end());
  starts.first_rows = upload(at::tensor(first_rows, at::kInt), rows_.ids_T.device());
  for (std::size_t s = 0; s < rows_.sequences.size(); ++s)
    starts.most_rows = std::max(starts.most_rows, rows_.length(s));
  return starts;
}

}  // namespace rocket
