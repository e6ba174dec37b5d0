#include "formats/unpacker.h"

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/error.h"

namespace rocket {
namespace {

using namespace std::string_view_literals;

/// The most that the C libraries are given at once, whose sizes have 32 bits.
constexpr std::size_t kPiece = std::size_t{1} << 30;

unsigned piece(std::size_t size) {
  return static_cast<unsigned>(std::min(size, kPiece));
}

/// Members one behind the other, with zero bytes between and behind them, as tapes and block devices leave.
class Gzip : public Unpacker {
 public:
  Gzip() {
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    if (inflateInit2(&state_, kGzipOnly) != Z_OK) fail_internal("zlib does not start");
  }
  ~Gzip() override { inflateEnd(&state_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  Step step(std::span<char> in, std::span<char> out) override {
    if (in.empty()) return {};
    if (between_members_) {
      const auto padding = std::ranges::find_if(in, [](char c) { return c != '\0'; }) - in.begin();
      if (padding > 0) return {static_cast<std::size_t>(padding)};
      inflateReset(&state_);
    }
    state_.next_in = reinterpret_cast<Bytef*>(in.data());
    state_.avail_in = piece(in.size());
    state_.next_out = reinterpret_cast<Bytef*>(out.data());
    state_.avail_out = piece(out.size());
    const int status = inflate(&state_, Z_NO_FLUSH);
    between_members_ = status == Z_STREAM_END;
    Step step{piece(in.size()) - state_.avail_in, piece(out.size()) - state_.avail_out};
    if (status != Z_OK && !between_members_) step.problem = state_.msg ? state_.msg : "no progress";
    return step;
  }

  bool is_whole() const override { return between_members_; }

 private:
  z_stream state_{};
  bool between_members_ = false;
};

/// Frames one behind the other, of which some may be there to be skipped (pzstd); windows of --long=31, too.
class Zstd : public Unpacker {
 public:
  Zstd() : state_(ZSTD_createDStream(), ZSTD_freeDStream) {
    if (!state_) fail_internal("zstd does not start");
    ZSTD_DCtx_setParameter(state_.get(), ZSTD_d_windowLogMax, 31);
  }

  Step step(std::span<char> in, std::span<char> out) override {
    if (in.empty() && is_whole()) return {};
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    frame_left_ = ZSTD_decompressStream(state_.get(), &to, &from);
    return {from.pos, to.pos, ZSTD_isError(frame_left_) ? ZSTD_getErrorName(frame_left_) : nullptr};
  }

  bool is_whole() const override { return frame_left_ == 0; }

 private:
  std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> state_;
  std::size_t frame_left_ = 0;  // 0: a frame has ended and was handed out whole
};

/// Streams one behind the other, as pbzip2 writes them.
class Bzip2 : public Unpacker {
 public:
  Bzip2() { start(); }
  ~Bzip2() override { BZ2_bzDecompressEnd(&state_); }
  Bzip2(const Bzip2&) = delete;
  Bzip2& operator=(const Bzip2&) = delete;

  Step step(std::span<char> in, std::span<char> out) override {
    if (in.empty() && between_streams_) return {};
    if (between_streams_) {
      BZ2_bzDecompressEnd(&state_);
      start();
    }
    state_.next_in = in.data();
    state_.avail_in = piece(in.size());
    state_.next_out = out.data();
    state_.avail_out = piece(out.size());
    const int status = BZ2_bzDecompress(&state_);
    between_streams_ = status == BZ_STREAM_END;
    Step step{piece(in.size()) - state_.avail_in, piece(out.size()) - state_.avail_out};
    if (status != BZ_OK && !between_streams_)
      step.problem =
          status == BZ_DATA_ERROR_MAGIC ? "no beginning of a stream" : "a checksum or a code is wrong";
    return step;
  }

  bool is_whole() const override { return between_streams_; }

 private:
  void start() {
    state_ = {};
    if (BZ2_bzDecompressInit(&state_, 0, 0) != BZ_OK) fail_internal("bzip2 does not start");
  }

  bz_stream state_{};
  bool between_streams_ = false;
};

/// Streams one behind the other, with padding.
class Xz : public Unpacker {
 public:
  Xz() {
    constexpr std::uint64_t kMostMemory = std::uint64_t{2} << 30;
    if (lzma_stream_decoder(&state_, kMostMemory, LZMA_CONCATENATED) != LZMA_OK)
      fail_internal("xz does not start");
  }
  ~Xz() override { lzma_end(&state_); }
  Xz(const Xz&) = delete;
  Xz& operator=(const Xz&) = delete;

  Step step(std::span<char> in, std::span<char> out) override {
    if (is_whole_) return {};
    state_.next_in = reinterpret_cast<std::uint8_t*>(in.data());
    state_.avail_in = in.size();
    state_.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    state_.avail_out = out.size();
    const lzma_ret status = lzma_code(&state_, in.empty() ? LZMA_FINISH : LZMA_RUN);
    is_whole_ = status == LZMA_STREAM_END;
    return {in.size() - state_.avail_in, out.size() - state_.avail_out, problem(status, in.empty())};
  }

  bool is_whole() const override { return is_whole_; }

 private:
  static const char* problem(lzma_ret status, bool at_end) {
    if (status == LZMA_OK || status == LZMA_STREAM_END) return nullptr;
    if (status == LZMA_BUF_ERROR && at_end) return nullptr;  // they are cut short
    if (status == LZMA_MEMLIMIT_ERROR) return "they ask for more than 2 GiB of memory";
    if (status == LZMA_FORMAT_ERROR) return "no beginning of a stream";
    return "a checksum or a code is wrong";
  }

  lzma_stream state_ = LZMA_STREAM_INIT;
  bool is_whole_ = false;
};

template <class T>
std::unique_ptr<Unpacker> make() {
  return std::make_unique<T>();
}

bool begins_gzip(std::string_view front) {
  return front.starts_with("\x1f\x8b");
}

/// A frame, or one to be skipped: sixteen marks.
bool begins_zstd(std::string_view front) {
  return front.starts_with("\x28\xb5\x2f\xfd") ||
         (front.size() >= 4 && (front[0] & '\xf0') == '\x50' && front.substr(1).starts_with("\x2a\x4d\x18"));
}

bool begins_bzip2(std::string_view front) {
  return front.size() >= 4 && front.starts_with("BZh") && front[3] >= '1' && front[3] <= '9';
}

bool begins_xz(std::string_view front) {
  return front.starts_with("\xfd\x37\x7a\x58\x5a\0"sv);
}

constexpr std::array kPackings{
    Packing{"gzip", ".gz", begins_gzip, make<Gzip>},
    Packing{"zstd", ".zst", begins_zstd, make<Zstd>},
    Packing{"bzip2", ".bz2", begins_bzip2, make<Bzip2>},
    Packing{"xz", ".xz", begins_xz, make<Xz>},
};

}  // namespace

std::span<const Packing> packings() {
  return kPackings;
}

const Packing* packing_of(std::string_view front) {
  const auto found = std::ranges::find_if(kPackings, [&](const Packing& p) { return p.begins(front); });
  return found == kPackings.end() ? nullptr : &*found;
}

}  // namespace rocket
