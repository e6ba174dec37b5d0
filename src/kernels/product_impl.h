// The matrix product: tiles of rows x vectors whose sums stay in registers, along the whole inner dimension
// in its order.
#pragma once

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#include "kernels/kernels.h"
#include "kernels/vector.h"

namespace rocket {
namespace {

/// Registers for sums, beside those for the operands.
constexpr std::int64_t kRowsPerTile = kLanes == 4 ? 4 : (kLanes == 8 ? 6 : 12);
constexpr std::int64_t kVectorsPerTile = 2;
/// Inner steps between two visits of the sums' memory: what a tile reads of the left side and a panel's piece
/// then stay near.
constexpr std::int64_t kInnerPerPass = 768;
/// Rows of one band, whose left side stays in the second cache.
constexpr std::int64_t kRowsPerBand = 120;
/// Rows of the left side at a multiple of this distance fall into the same sets of the first cache, and those
/// of one tile push each other out. They are copied to a better distance where many columns make use of it.
constexpr std::int64_t kClashingStride = 1024, kSpreadStride = kInnerPerPass + 16;
constexpr std::int64_t kColumnsWorthSpreading = 256;

template <class Unit>
struct Tile {
  std::int64_t inner = 0;
  const Unit* a = nullptr;
  std::int64_t a_stride = 0;
  const Unit* b = nullptr;
  std::int64_t b_row_stride = 0, b_panel_stride = 0, column = 0;  // first column
  float* c = nullptr;                                             // at the first column
  std::int64_t c_stride = 0, columns = 0;
  bool add = false;
};

/// Where tile column vectors end: whole ones by plain loads and stores, the last one maybe in part.
template <bool whole>
Vector load_sum(const float* from, std::int64_t left) {
  if constexpr (whole) return load(from);
  if (left >= kLanes) return load(from);
  return left > 0 ? load_some(from, left, 0.0f) : Vector{};
}

template <bool whole>
void store_sum(float* to, Vector v, std::int64_t left) {
  if (whole || left >= kLanes) {
    store(to, v);
  } else if (left > 0) {
    store_some(to, v, left);
  }
}

inline Vector plus_product(Vector sum, float left, Vector right) {
  return sum + left * right;
}

#if defined(__AVX512BF16__)
inline Vector plus_product(Vector sum, Bfloat16Pair left, Vector right) {
  __m512bh a, b;
  const __m512i same = _mm512_set1_epi32(static_cast<int>(left));
  std::memcpy(&a, &same, sizeof a);
  std::memcpy(&b, &right, sizeof b);
  return _mm512_dpbf16_ps(sum, a, b);
}
#endif

/// One tile of `rows` x `vectors`: each sum runs over `inner` in order. All loops over the tile are unrolled,
/// so that the sums live in registers from the first line to the last.
template <class Unit, int rows, int vectors, bool whole>
void multiply_tile(const Tile<Unit>& t) {
  const Unit* b[vectors];
#pragma GCC unroll 16
  for (int v = 0; v < vectors; ++v) {
    const std::int64_t j = t.column + v * kLanes;
    b[v] = t.b + j / kPanel * t.b_panel_stride + j % kPanel;
  }
  Vector sums[rows][vectors];
  if (t.add) {
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v)
        sums[r][v] = load_sum<whole>(t.c + r * t.c_stride + v * kLanes, t.columns - v * kLanes);
    }
  } else {
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sums[r][v] = Vector{};
    }
  }
  for (std::int64_t k = 0; k < t.inner; ++k) {
    Vector right[vectors];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v) right[v] = load(b[v] + k * t.b_row_stride);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const Unit left = t.a[r * t.a_stride + k];
#pragma GCC unroll 16
      for (int v = 0; v < vectors; ++v) sums[r][v] = plus_product(sums[r][v], left, right[v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < vectors; ++v)
      store_sum<whole>(t.c + r * t.c_stride + v * kLanes, sums[r][v], t.columns - v * kLanes);
  }
}

template <class Unit>
using MultiplyTile = void (*)(const Tile<Unit>&);

template <class Unit, int vectors, bool whole, int rows>
MultiplyTile<Unit> tile_of(std::int64_t wanted) {
  if constexpr (rows == 0) {
    return nullptr;
  } else {
    return wanted == rows ? &multiply_tile<Unit, rows, vectors, whole>
                          : tile_of<Unit, vectors, whole, rows - 1>(wanted);
  }
}

template <class Unit, int vectors, int rows>
MultiplyTile<Unit> tile_of(std::int64_t wanted, std::int64_t columns) {
  return columns >= vectors * kLanes ? tile_of<Unit, vectors, true, rows>(wanted)
                                     : tile_of<Unit, vectors, false, rows>(wanted);
}

/// Few rows take more vectors side by side: a sum waits for its own last step, so there must be enough of
/// them.
template <class Unit>
struct TileShape {
  std::int64_t vectors = kVectorsPerTile;
  MultiplyTile<Unit> multiply = nullptr;
};

template <class Unit>
TileShape<Unit> tile_shape(std::int64_t rows, std::int64_t columns) {
  constexpr int all = kRowsPerTile, half = kRowsPerTile / 2,
                few = kRowsPerTile / 6 > 0 ? kRowsPerTile / 6 : 1;
  if (columns <= kLanes) return {1, tile_of<Unit, 1, all>(rows, columns)};
  if (rows <= few && columns >= 8 * kLanes) return {8, tile_of<Unit, 8, few>(rows, columns)};
  if (rows <= half && columns >= 4 * kLanes) return {4, tile_of<Unit, 4, half>(rows, columns)};
  return {2, tile_of<Unit, 2, all>(rows, columns)};
}

/// Some columns of a few rows.
template <class Unit>
void multiply_rows(const ProductOf<Unit, float>& p, std::int64_t row, std::int64_t rows,
                   std::int64_t first_column, std::int64_t columns) {
  Tile<Unit> tile{p.inner,
                  p.a + row * p.a_stride,
                  p.a_stride,
                  p.b.data,
                  p.b.row_stride,
                  p.b.panel_stride,
                  0,
                  nullptr,
                  p.c_stride,
                  0,
                  p.add};
  for (std::int64_t done = 0; done < columns;) {
    const TileShape<Unit> shape = tile_shape<Unit>(rows, columns - done);
    tile.column = first_column + done;
    tile.columns = least(columns - done, shape.vectors * kLanes);
    tile.c = p.c + row * p.c_stride + tile.column;
    shape.multiply(tile);
    done += tile.columns;
  }
}

/// What one pass over a part of the inner dimension does for some rows.
template <class Unit>
ProductOf<Unit, float> pass_of(const ProductOf<Unit, float>& p, std::int64_t first_row, std::int64_t rows,
                               std::int64_t first) {
  ProductOf<Unit, float> pass = p;
  pass.rows = rows;
  pass.inner = least(kInnerPerPass, p.inner - first);
  pass.a += first_row * p.a_stride + first;
  pass.b.data += first * p.b.row_stride;
  pass.c += first_row * p.c_stride;
  pass.add = p.add || first > 0;
  return pass;
}

template <class Unit>
void multiply_pass(const ProductOf<Unit, float>& pass) {
  const std::int64_t tiles = (pass.rows + kRowsPerTile - 1) / kRowsPerTile;
  // Few rows pass a wide strip of columns at once, many a panel that stays in the first cache.
  const std::int64_t strip = tiles > 1 ? kPanel : pass.columns;
  for (std::int64_t column = 0; column < pass.columns; column += strip) {
    for (std::int64_t t = 0; t < tiles; ++t) {
      const std::int64_t begin = pass.rows * t / tiles, end = pass.rows * (t + 1) / tiles;
      multiply_rows(pass, begin, end - begin, column, least(strip, pass.columns - column));
    }
  }
}

/// Apart from the others, whose frames shall stay small.
template <class Unit>
__attribute__((noinline)) void multiply_spread_pass(ProductOf<Unit, float> pass) {
  Unit room[kRowsPerBand * kSpreadStride];
  for (std::int64_t r = 0; r < pass.rows; ++r)
    std::memcpy(room + r * kSpreadStride, pass.a + r * pass.a_stride,
                static_cast<std::size_t>(pass.inner) * sizeof(Unit));
  pass.a = room;
  pass.a_stride = kSpreadStride;
  multiply_pass(pass);
}

template <class Unit>
void multiply_band(const ProductOf<Unit, float>& p, std::int64_t first_row, std::int64_t rows) {
  const bool clash =
      rows > kRowsPerTile && p.columns >= kColumnsWorthSpreading && p.a_stride % kClashingStride == 0;
  for (std::int64_t first = 0; first < p.inner; first += kInnerPerPass) {
    const ProductOf<Unit, float> pass = pass_of(p, first_row, rows, first);
    clash ? multiply_spread_pass(pass) : multiply_pass(pass);
  }
}

/// Calls work(first row, rows) for bands of about kRowsPerBand rows.
template <class Work>
void for_each_band(std::int64_t rows, const Work& work) {
  const std::int64_t bands = (rows + kRowsPerBand - 1) / kRowsPerBand;
  for (std::int64_t i = 0; i < bands; ++i) {
    const std::int64_t begin = rows * i / bands, end = rows * (i + 1) / bands;
    work(begin, end - begin);
  }
}

template <class Unit>
void multiply_units(const ProductOf<Unit, float>& p) {
  for_each_band(p.rows, [&](std::int64_t first, std::int64_t rows) { multiply_band(p, first, rows); });
}

void multiply(const MatrixProduct& p) {
  multiply_units(p);
}

/// Columns as panels; unit_at(column, i) is step i of a column.
template <class Unit, class UnitAt>
void pack_units(std::int64_t columns, std::int64_t inner, Unit* packed, const UnitAt& unit_at) {
  constexpr std::int64_t kAtOnce = 16;  // a cache line of each row
  for (std::int64_t first = 0; first < columns; first += kPanel, packed += inner * kPanel) {
    const std::int64_t width = least(kPanel, columns - first);
    for (std::int64_t k = 0; k < inner; k += kAtOnce) {
      const std::int64_t end = least(inner, k + kAtOnce);
      for (std::int64_t j = 0; j < kPanel; ++j) {
        for (std::int64_t i = k; i < end; ++i)
          packed[i * kPanel + j] = j < width ? unit_at(first + j, i) : Unit{};
      }
    }
  }
}

void pack(const float* rows, std::int64_t columns, std::int64_t inner, std::int64_t stride, float* packed) {
  pack_units(columns, inner, packed, [=](std::int64_t j, std::int64_t i) { return rows[j * stride + i]; });
}

void pack_rows(const float* rows, std::int64_t inner, std::int64_t columns, std::int64_t stride,
               float* packed) {
  for (std::int64_t first = 0; first < columns; first += kPanel, packed += inner * kPanel) {
    const std::int64_t width = least(kPanel, columns - first);
    for (std::int64_t k = 0; k < inner; ++k) {
      const float* from = rows + k * stride + first;
      float* to = packed + k * kPanel;
      if (width == kPanel) {
        std::memcpy(to, from, kPanel * sizeof(float));
        continue;
      }
      for (std::int64_t j = 0; j < kPanel; ++j) to[j] = j < width ? from[j] : 0.0f;
    }
  }
}

}  // namespace
}  // namespace rocket
