#include "selection/near_walk.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernels/kernels.h"

namespace rocket {
namespace {

// Rows that meet the references together. What is compared within a block also counts rows that one of the
// block drops, so blocks grow with the references: up to what many threads need, and what its bits may take
// (8 MB).
constexpr std::int64_t kSmallestBlock = 512, kLargestBlock = 8192, kReferencesPerRow = 8;
// Rows of a block that one thread takes through all references: the more, the less often these are read from
// memory.
constexpr std::int64_t kSlice = 512;
// Rows of a block that are compared with those before them and each other: as many as a word has bits.
constexpr std::int64_t kBand = 64;

}  // namespace

void one_by_one(std::int64_t count, const std::function<void(std::int64_t)>& work) {
  for (std::int64_t i = 0; i < count; ++i) {
    work(i);
  }
}

/// Rows on their way through the walk.
struct NearWalk::Block {
  std::span<const float> rows_BD;
  std::span<const std::int64_t> long_text_B;  // or empty
  std::vector<std::int64_t> near;  // [B] position of the first near reference from before the block, or -1
  std::vector<std::int64_t> candidates;  // rows of the block that may become references
  /// For band b of the candidates [kBand, b + 1] words: which candidates of this and earlier bands are near.
  std::vector<std::vector<std::uint64_t>> bands;

  std::int64_t long_text(std::size_t b) const { return long_text_B.empty() ? 0 : long_text_B[b]; }

  /// The first of the candidates marked in `standing` that is near candidate c; -1 if none is.
  std::int64_t first_near(std::int64_t c, const std::vector<std::uint64_t>& standing) const {
    const std::int64_t words = c / kBand + 1;
    const std::uint64_t* bits = bands[static_cast<std::size_t>(c / kBand)].data() + c % kBand * words;
    for (std::int64_t w = 0; w < words; ++w) {
      if (const std::uint64_t found = bits[w] & standing[static_cast<std::size_t>(w)]) {
        return w * kBand + __builtin_ctzll(found);
      }
    }
    return -1;
  }
};

NearWalk::NearWalk(std::int64_t dimension, double threshold, References references, ForEach for_each)
    : dimension_(dimension),
      bar_(near_bar(threshold)),
      references_(references),
      for_each_(std::move(for_each)),
      mine_(dimension) {
}

std::size_t NearWalk::take(Comm& comm, std::span<const float> rows_BD, std::int64_t most_kept,
                           std::span<const std::int64_t> long_text_B) {
  const auto dimension = static_cast<std::size_t>(dimension_);
  const std::size_t rows = rows_BD.size() / dimension;
  std::size_t taken = 0;
  while (taken < rows && kept_ < most_kept) {
    const std::int64_t block =
        std::clamp(reference_count_ / kReferencesPerRow, kSmallestBlock, kLargestBlock);
    const std::size_t count = std::min(static_cast<std::size_t>(block), rows - taken);
    Block next{.rows_BD = rows_BD.subspan(taken * dimension, count * dimension)};
    if (!long_text_B.empty()) next.long_text_B = long_text_B.subspan(taken, count);
    taken += take_block(comm, std::move(next), most_kept);
  }
  return taken;
}

std::size_t NearWalk::take_block(Comm& comm, Block block, std::int64_t most_kept) {
  block.near = near_references(comm, block.rows_BD);
  for (std::size_t b = 0; b < block.near.size(); ++b) {
    if (block.long_text(b) == 0 && (block.near[b] < 0 || references_ == References::seen)) {
      block.candidates.push_back(static_cast<std::int64_t>(b));
    }
  }
  compare_within(comm, block);
  return settle(comm, block, most_kept);
}

std::vector<std::int64_t> NearWalk::near_references(Comm& comm, std::span<const float> rows) const {
  const std::int64_t count = static_cast<std::int64_t>(rows.size()) / dimension_;
  std::vector<std::int64_t> near(static_cast<std::size_t>(count), -1);
  for_each_((count + kSlice - 1) / kSlice, [&](std::int64_t slice) {
    const std::int64_t first = slice * kSlice;
    const auto found =
        mine_.first_near(rows.data() + first * dimension_, std::min(kSlice, count - first), bar_);
    std::transform(found.begin(), found.end(), near.begin() + first, [&](std::int64_t index) {
      return index < 0 ? -1 : my_positions_[static_cast<std::size_t>(index)];
    });
  });
  for (const std::string& theirs : comm.gather_all(bytes_of(near))) {
    for (std::size_t b = 0; b < near.size(); ++b) {
      std::int64_t position = -1;
      std::memcpy(&position, theirs.data() + b * sizeof position, sizeof position);
      near[b] = near[b] < 0 || (position >= 0 && position < near[b]) ? position : near[b];
    }
  }
  return near;
}

/// Bands go to the ranks in turn, so that long and short ones are spread.
void NearWalk::compare_within(Comm& comm, Block& block) const {
  const auto count = static_cast<std::int64_t>(block.candidates.size());
  ReferenceRows columns(dimension_);
  std::vector<float> rows;
  rows.reserve(block.candidates.size() * static_cast<std::size_t>(dimension_));
  for (std::int64_t b : block.candidates) {
    const float* row = block.rows_BD.data() + b * dimension_;
    columns.add(row);
    rows.insert(rows.end(), row, row + dimension_);
  }
  const std::int64_t bands = (count + kBand - 1) / kBand;
  block.bands.resize(static_cast<std::size_t>(bands));
  for_each_((bands - comm.rank() + comm.size() - 1) / comm.size(), [&](std::int64_t turn) {
    const std::int64_t band = comm.rank() + turn * comm.size();
    const std::int64_t first = band * kBand, end = std::min(first + kBand, count);
    block.bands[static_cast<std::size_t>(band)] =
        columns.near_bits(rows.data() + first * dimension_, end - first, end, bar_);
  });
  std::string mine;
  for (std::int64_t band = comm.rank(); band < bands; band += comm.size()) {
    mine += bytes_of(block.bands[static_cast<std::size_t>(band)]);
  }
  const std::vector<std::string> all = comm.gather_all(mine);
  std::vector<std::size_t> read(all.size(), 0);
  for (std::int64_t band = 0; band < bands; ++band) {
    const auto owner = static_cast<std::size_t>(band % comm.size());
    auto& bits = block.bands[static_cast<std::size_t>(band)];
    bits.resize(static_cast<std::size_t>(std::min(kBand, count - band * kBand) * (band + 1)));
    std::memcpy(bits.data(), all[owner].data() + read[owner], bits.size() * sizeof bits[0]);
    read[owner] += bits.size() * sizeof bits[0];
  }
}

/// Record by record, with nothing left to compute.
std::size_t NearWalk::settle(Comm& comm, const Block& block, std::int64_t most_kept) {
  const auto start = static_cast<std::int64_t>(dropped_by_.size());
  std::vector<std::uint64_t> standing(block.bands.size());
  std::size_t b = 0, c = 0;
  for (; b < block.near.size() && kept_ < most_kept; ++b) {
    std::int64_t by = block.near[b];
    if (const std::int64_t text = block.long_text(b)) {
      by = equal_reference(text);
    } else if (c < block.candidates.size() && block.candidates[c] == static_cast<std::int64_t>(b)) {
      if (by < 0) {
        const std::int64_t first = block.first_near(static_cast<std::int64_t>(c), standing);
        by = first < 0 ? -1 : start + block.candidates[static_cast<std::size_t>(first)];
      }
      if (by < 0 || references_ == References::seen) {
        standing[c / kBand] |= std::uint64_t{1} << (c % kBand);
        add_reference(comm, block.rows_BD.data() + static_cast<std::int64_t>(b) * dimension_);
      }
      ++c;
    }
    kept_ += by < 0;
    dropped_by_.push_back(by);
  }
  return b;
}

/// Of the next row of the walk, a long text: the position of the first equal one, or -1.
std::int64_t NearWalk::equal_reference(std::int64_t long_text) {
  const auto position = static_cast<std::int64_t>(dropped_by_.size());
  const bool drops = bar_ < 1.0f;
  const auto [first, is_new] = long_texts_.emplace(long_text, position);
  return is_new || !drops ? -1 : first->second;
}

/// The next row of the walk. References go to the ranks in turn, a panel at a time.
void NearWalk::add_reference(const Comm& comm, const float* row) {
  if (reference_count_++ / kPanel % comm.size() == comm.rank()) {
    mine_.add(row);
    my_positions_.push_back(static_cast<std::int64_t>(dropped_by_.size()));
  }
}

}  // namespace rocket
