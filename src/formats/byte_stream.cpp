#include "formats/byte_stream.h"

#include <zlib.h>
#include <zstd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/activity.h"
#include "base/error.h"
#include "base/input_files.h"
#include "formats/file_kind.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kGzip = "\x1f\x8b";
constexpr std::string_view kZstd = "\x28\xb5\x2f\xfd";
constexpr std::string_view kParquet = "PAR1";
constexpr std::size_t kChunk = 1 << 18;

class PlainStream : public ByteStream {
 public:
  explicit PlainStream(const fs::path& path)
      : path_(path.string()), file_(std::fopen(path.c_str(), "rb"), std::fclose) {
    if (!file_) fail_data("{}: cannot be opened: {}", path_, std::strerror(errno));
  }

  std::size_t read(std::span<char> buffer) override {
    const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), file_.get());
    if (n == 0 && std::ferror(file_.get())) fail_data("{}: cannot be read: {}", path_, std::strerror(errno));
    note_activity();
    return n;
  }

  /// The first bytes, which stay to be read.
  std::string peek(std::size_t n) {
    std::string front(n, '\0');
    front.resize(read(front));
    std::rewind(file_.get());
    return front;
  }

 private:
  std::string path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

/// Chunks of packed bytes, for the two decoders.
class PackedInput {
 public:
  explicit PackedInput(std::unique_ptr<PlainStream> file) : file_(std::move(file)), chunk_(kChunk) {}

  /// What is left of the current chunk, or the next one; empty at the end of the file.
  std::span<char> available() {
    if (at_ == end_) {
      at_ = 0;
      end_ = file_->read(chunk_);
    }
    return std::span(chunk_).subspan(at_, end_ - at_);
  }
  void consume(std::size_t n) { at_ += n; }

 private:
  std::unique_ptr<PlainStream> file_;
  std::vector<char> chunk_;
  std::size_t at_ = 0, end_ = 0;
};

class GzipStream : public ByteStream {
 public:
  GzipStream(std::string path, std::unique_ptr<PlainStream> file)
      : path_(std::move(path)), input_(std::move(file)) {
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    if (inflateInit2(&state_, kGzipOnly) != Z_OK) fail_internal("{}: zlib does not start", path_);
  }
  ~GzipStream() override { inflateEnd(&state_); }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  std::size_t read(std::span<char> buffer) override {
    std::size_t written = 0;
    while (written == 0) {
      const auto in = input_.available();
      if (in.empty() && between_members_) return 0;
      if (in.empty()) fail_data("{}: the gzip data are cut short", path_);
      written = inflate_some(in, buffer);
    }
    return written;
  }

 private:
  std::size_t inflate_some(std::span<char> in, std::span<char> out) {
    if (between_members_) inflateReset(&state_);
    between_members_ = false;
    state_.next_in = reinterpret_cast<Bytef*>(in.data());
    state_.avail_in = static_cast<uInt>(in.size());
    state_.next_out = reinterpret_cast<Bytef*>(out.data());
    const auto room = static_cast<uInt>(std::min(out.size(), std::size_t{1} << 30));
    state_.avail_out = room;
    const int status = inflate(&state_, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END)
      fail_data("{}: damaged gzip data: {}", path_, state_.msg ? state_.msg : "no progress");
    between_members_ = status == Z_STREAM_END;
    input_.consume(in.size() - state_.avail_in);
    return room - state_.avail_out;
  }

  std::string path_;
  PackedInput input_;
  z_stream state_{};
  bool between_members_ = false;
};

class ZstdStream : public ByteStream {
 public:
  ZstdStream(std::string path, std::unique_ptr<PlainStream> file)
      : path_(std::move(path)), input_(std::move(file)), state_(ZSTD_createDStream(), ZSTD_freeDStream) {
    if (!state_) fail_internal("{}: zstd does not start", path_);
  }

  std::size_t read(std::span<char> buffer) override {
    ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
    while (out.pos == 0) {
      const auto available = input_.available();
      if (available.empty() && frame_left_ == 0) return 0;
      ZSTD_inBuffer in{available.data(), available.size(), 0};
      frame_left_ = ZSTD_decompressStream(state_.get(), &out, &in);
      if (ZSTD_isError(frame_left_))
        fail_data("{}: damaged zstd data: {}", path_, ZSTD_getErrorName(frame_left_));
      if (available.empty() && out.pos == 0) fail_data("{}: the zstd data are cut short", path_);
      input_.consume(in.pos);
    }
    return out.pos;
  }

 private:
  std::string path_;
  PackedInput input_;
  std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> state_;
  std::size_t frame_left_ = 0;  // 0: a frame has ended and was handed out whole
};

void refuse_mislabelled(const fs::path& file, std::string_view front) {
  const auto suffix = file.extension();
  const bool gzip = suffix == ".gz", zstd = suffix == ".zst";
  if ((!gzip || front.starts_with(kGzip)) && (!zstd || front.starts_with(kZstd))) return;
  const std::string kind = kind_of_file(file);
  fail_data("{}: its name ends in {}, found {}", file.string(), suffix.string(),
            kind.empty() ? "something that is not packed" : kind);
}

std::unique_ptr<PlainStream> open_plain(const fs::path& file) {
  const std::string problem = input_problem(file);
  if (!problem.empty()) fail_data("{}", problem);
  return std::make_unique<PlainStream>(file);
}

}  // namespace

bool is_parquet(const fs::path& file) {
  return file.extension() == ".parquet" || open_plain(file)->peek(kParquet.size()) == kParquet;
}

bool is_packed_name(const fs::path& file) {
  return file.extension() == ".gz" || file.extension() == ".zst";
}

std::unique_ptr<ByteStream> open_stream(const fs::path& file) {
  auto plain = open_plain(file);
  const std::string front = plain->peek(kZstd.size());
  refuse_mislabelled(file, front);
  if (front.starts_with(kGzip)) return std::make_unique<GzipStream>(file.string(), std::move(plain));
  if (front.starts_with(kZstd)) return std::make_unique<ZstdStream>(file.string(), std::move(plain));
  return plain;
}

}  // namespace rocket
