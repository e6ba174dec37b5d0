#include "base/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cstdint>
#include <new>

#include "base/activity.h"
#include "base/files.h"

namespace rocket {

struct Hasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  State() {
    if (xxh == nullptr) {
      throw std::bad_alloc();
    }
    XXH3_128bits_reset(xxh);
  }
  ~State() { XXH3_freeState(xxh); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
}
Hasher::~Hasher() = default;

void Hasher::add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}

void Hasher::add(std::string_view text) {
  const std::uint64_t length = text.size();
  add(std::as_bytes(std::span(&length, 1)));
  add(std::as_bytes(std::span(text.data(), text.size())));
}

namespace {

std::string hex_of(const XXH128_hash_t& hash) {
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace

std::string Hasher::hex() const {
  return hex_of(XXH3_128bits_digest(state_->xxh));
}

std::string hash_text(std::string_view text) {
  return hex_of(XXH3_128bits(text.data(), text.size()));
}

Hash128 hash128(std::span<const std::byte> bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

std::string hash_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  constexpr std::size_t kPiece = std::size_t{64} << 20;
  Hasher hasher;
  for (std::span<const std::byte> left = file.bytes(); !left.empty();) {
    const std::size_t piece = std::min(left.size(), kPiece);
    hasher.add(left.first(piece));
    left = left.subspan(piece);
    note_activity();
  }
  return hasher.hex();
}

}  // namespace rocket
