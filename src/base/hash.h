// Content hashes for fingerprints: XXH3-128, as 32 hexadecimal digits. Not for secrets.
#pragma once

#include <cstddef>
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

/// Hash of a file's bytes. Throws data (65) if it cannot be read.
std::string hash_file(const std::filesystem::path& path);

}  // namespace rocket
