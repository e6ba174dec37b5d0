// Vectors of many records, spread over the ranks.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "comm/comm.h"

namespace rocket {

/// Unit u holds the rows of records [u * unit_size, (u + 1) * unit_size) and lies on rank u mod ranks.
class SharedRows {
 public:
  SharedRows(std::int64_t dimension, std::int64_t unit_size) : dimension_(dimension), unit_size_(unit_size) {}

  /// On the unit's rank.
  void put(std::int64_t unit, std::vector<float> rows_UD) { units_[unit] = std::move(rows_UD); }

  /// Collective. The rows of these records in this order, on every rank.
  std::vector<float> gather(Comm& comm, std::span<const std::int64_t> records) const;

 private:
  std::int64_t dimension_, unit_size_;
  std::map<std::int64_t, std::vector<float>> units_;
};

}  // namespace rocket
