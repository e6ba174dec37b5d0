// Vectors that an earlier computation of a job left in its parts, by the hash of what they were made from: a
// changed or longer corpus computes only what is new.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace rocket {

namespace fs = std::filesystem;

/// Records that are read, tokenised, embedded and hashed together. A block's vectors are a function of its
/// texts.
inline constexpr std::int64_t records_per_block = 256;

/// What a block's texts were made into.
struct BlockRows {
  std::vector<float> vectors;            // [rows, d]
  std::vector<std::int64_t> long_texts;  // [rows] long_text_number() of each
};

/// Parts that hold vectors have the attribute `encoder` (a hash of all that makes a vector of a text) and the
/// data sets `embedding` [rows, d], `long_text` [rows] and `block` [blocks], the hashes of their texts.
class KnownBlocks {
 public:
  /// Looks through the parts of the folders, which need not exist. Those of another encoder count for
  /// nothing, and so does a file that cannot be read: its blocks are computed again.
  KnownBlocks(const std::vector<fs::path>& folders, const std::string& encoder, std::int64_t dimension);

  bool has(const std::string& block) const { return places_.contains(block); }
  /// A block that it has, of `rows` texts. One thread at a time. Throws data (65) if its file is damaged,
  /// which is read whole for that once.
  BlockRows read(const std::string& block, std::int64_t rows) const;

 private:
  struct Place {
    std::size_t file = 0;
    std::int64_t first_row = 0;
  };
  void add(const fs::path& file, const std::string& encoder, std::int64_t dimension);

  std::vector<fs::path> files_;
  std::map<std::string, Place> places_;
  mutable std::set<std::size_t> whole_;  // files whose seals fit
};

}  // namespace rocket
