#include "selection/reference_rows.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "kernels/kernels.h"

namespace rocket {
namespace {

// A chunk of packed rows and its cosines with a group of rows then stay in the second cache.
constexpr std::int64_t kColumns = 256, kGroup = 120;

/// Whether a better one than `bar` is found.
bool any_above(const float* x, std::int64_t count, float bar) {
  Best best{.value = bar, .index = 0};
  kernels().find_best(x, count, /*first=*/1, best);
  return best.index > 0;
}

/// Rows that are still looked at, side by side.
class Rows {
 public:
  Rows(const float* rows, std::int64_t count, std::int64_t dimension)
      : data_(rows), dimension_(dimension), numbers_(static_cast<std::size_t>(count)) {
    std::iota(numbers_.begin(), numbers_.end(), std::int64_t{0});
  }

  const float* data() const { return data_; }
  std::int64_t count() const { return static_cast<std::int64_t>(numbers_.size()); }
  std::int64_t number(std::int64_t place) const { return numbers_[static_cast<std::size_t>(place)]; }

  /// Where enough rows are done that moving the others together costs less than to go on with all.
  template <class Done>
  void remove_if(const Done& done) {
    const auto left = static_cast<std::int64_t>(
        std::count_if(numbers_.begin(), numbers_.end(), [&](std::int64_t number) { return !done(number); }));
    if ((count() - left) * kWorthMoving < count()) {
      return;
    }
    std::vector<float> rows;
    rows.reserve(static_cast<std::size_t>(left * dimension_));
    for (std::int64_t place = 0; place < count(); ++place) {
      if (!done(number(place))) {
        rows.insert(rows.end(), data_ + place * dimension_, data_ + (place + 1) * dimension_);
      }
    }
    std::erase_if(numbers_, done);
    own_ = std::move(rows);
    data_ = own_.data();
  }

 private:
  static constexpr std::int64_t kWorthMoving = 16;

  const float* data_;
  std::int64_t dimension_;
  std::vector<std::int64_t> numbers_;
  std::vector<float> own_;
};

}  // namespace

float near_bar(double threshold) {
  const auto bar = static_cast<float>(threshold);
  return bar < 1.0f ? bar : std::numeric_limits<float>::infinity();
}

void ReferenceRows::add(const float* row_D) {
  const std::int64_t column = size_ % kColumns;
  if (column == 0) {
    chunks_.emplace_back(static_cast<std::size_t>(packed_size(kColumns, dimension_)));
  }
  float* panel = chunks_.back().data() + column / kPanel * dimension_ * kPanel + column % kPanel;
  for (std::int64_t k = 0; k < dimension_; ++k) {
    panel[k * kPanel] = row_D[k];
  }
  ++size_;
}

void ReferenceRows::multiply(const float* rows_BD, std::int64_t count, std::size_t chunk,
                             std::int64_t columns, float* cosines) const {
  kernels().multiply({.rows = count,
                      .inner = dimension_,
                      .columns = columns,
                      .a = rows_BD,
                      .a_stride = dimension_,
                      .b = {chunks_[chunk].data(), kPanel, dimension_ * kPanel},
                      .c = cosines,
                      .c_stride = columns});
}

std::vector<std::int64_t> ReferenceRows::first_near(const float* rows_BD, std::int64_t count,
                                                    float bar) const {
  std::vector<std::int64_t> first(static_cast<std::size_t>(count), -1);
  Rows rows(rows_BD, count, dimension_);
  std::vector<float> cosines(static_cast<std::size_t>(kGroup * kColumns));
  for (std::size_t chunk = 0; chunk < chunks_.size() && rows.count() > 0; ++chunk) {
    const std::int64_t begin = static_cast<std::int64_t>(chunk) * kColumns;
    const std::int64_t columns = std::min(kColumns, size_ - begin);
    for (std::int64_t place = 0; place < rows.count(); ++place) {
      if (place % kGroup == 0) {
        multiply(rows.data() + place * dimension_, std::min(kGroup, rows.count() - place), chunk, columns,
                 cosines.data());
      }
      const float* row = cosines.data() + place % kGroup * columns;
      std::int64_t& found = first[static_cast<std::size_t>(rows.number(place))];
      if (found < 0 && any_above(row, columns, bar)) {
        found =
            begin + (std::find_if(row, row + columns, [bar](float cosine) { return cosine > bar; }) - row);
      }
    }
    rows.remove_if([&](std::int64_t number) { return first[static_cast<std::size_t>(number)] >= 0; });
  }
  return first;
}

std::vector<std::uint64_t> ReferenceRows::near_bits(const float* rows_BD, std::int64_t count,
                                                    std::int64_t columns, float bar) const {
  const std::int64_t words = words_of(columns);
  std::vector<std::uint64_t> bits(static_cast<std::size_t>(count * words));
  std::vector<float> cosines(static_cast<std::size_t>(count * kColumns));
  for (std::int64_t begin = 0; begin < columns; begin += kColumns) {
    const std::int64_t width = std::min(kColumns, columns - begin);
    multiply(rows_BD, count, static_cast<std::size_t>(begin / kColumns), width, cosines.data());
    for (std::int64_t r = 0; r < count; ++r) {
      const float* row = cosines.data() + r * width;
      std::uint64_t* word = bits.data() + r * words + begin / 64;
      for (std::int64_t j = 0; j < width; j += 64) {
        const std::int64_t end = std::min(j + 64, width);
        if (!any_above(row + j, end - j, bar)) {
          continue;
        }
        for (std::int64_t i = j; i < end; ++i) {
          word[j / 64] |= static_cast<std::uint64_t>(row[i] > bar) << (i - j);
        }
      }
    }
  }
  return bits;
}

}  // namespace rocket
