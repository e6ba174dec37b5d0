// How files are packed: gzip, Zstandard, bzip2, xz; told by their first bytes, undone piece by piece.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace rocket {

class Unpacker {
 public:
  struct Step {
    std::size_t used = 0, written = 0;
    const char* problem = nullptr;  // why the data are damaged
  };

  virtual ~Unpacker() = default;
  /// Takes from the front of `in` and writes to the front of `out`. An empty `in` says that nothing follows;
  /// what was taken before may still come out.
  virtual Step step(std::span<char> in, std::span<char> out) = 0;
  /// Whether the data may end here.
  virtual bool is_whole() const = 0;
};

struct Packing {
  std::string_view name, suffix;  // "gzip", ".gz"
  bool (*begins)(std::string_view front);
  std::unique_ptr<Unpacker> (*unpacker)();
};

/// As many first bytes as `begins` looks at.
inline constexpr std::size_t kPackingBytes = 6;

std::span<const Packing> packings();

/// nullptr: not packed in a way that is known.
const Packing* packing_of(std::string_view front);

}  // namespace rocket
