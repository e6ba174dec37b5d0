// Content hashes for fingerprints: XXH3-128, as 32 hexadecimal digits. Not for secrets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace rocket {

class Hasher {
 public:
  Hasher();
  ~Hasher();
  void add(std::span<const std::byte> bytes);
  /// Adds the text and its length, so that ("ab","c") and ("a","bc") differ.
  void add(std::string_view text);
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string hash_text(std::string_view text);

/// The same hash as bits, for tables of many.
struct Hash128 {
  std::uint64_t high = 0, low = 0;
  bool operator==(const Hash128&) const = default;
  /// For std::unordered_set.
  struct Bucket {
    std::size_t operator()(const Hash128& hash) const { return hash.low; }
  };
};
Hash128 hash128(std::span<const std::byte> bytes);

/// Hash of a file's bytes. Throws data (65) if it cannot be read.
std::string hash_file(const std::filesystem::path& path);

}  // namespace rocket
