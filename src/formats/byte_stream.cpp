#include "formats/byte_stream.h"

#include <algorithm>
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
#include "formats/unpacker.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

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

class PackedStream : public ByteStream {
 public:
  PackedStream(std::string path, std::unique_ptr<PlainStream> file, const Packing& packing)
      : path_(std::move(path)),
        packing_(packing),
        unpacker_(packing.unpacker()),
        file_(std::move(file)),
        chunk_(kChunk) {}

  std::size_t read(std::span<char> buffer) override {
    for (;;) {
      const std::span<char> in = available();
      const Unpacker::Step step = unpacker_->step(in, buffer);
      if (step.problem) fail_data("{}: damaged {} data: {}", path_, packing_.name, step.problem);
      at_ += step.used;
      if (step.written > 0) return step.written;
      if (in.empty() && unpacker_->is_whole()) return 0;
      if (in.empty()) fail_data("{}: the {} data are cut short", path_, packing_.name);
    }
  }

 private:
  /// What is left of the current chunk, or the next one; empty at the end of the file.
  std::span<char> available() {
    if (at_ == end_) {
      at_ = 0;
      end_ = file_->read(chunk_);
    }
    return std::span(chunk_).subspan(at_, end_ - at_);
  }

  std::string path_;
  const Packing& packing_;
  std::unique_ptr<Unpacker> unpacker_;
  std::unique_ptr<PlainStream> file_;
  std::vector<char> chunk_;
  std::size_t at_ = 0, end_ = 0;
};

/// What the name says that a file is packed with; nullptr: it says nothing.
const Packing* packing_by_name(const fs::path& file) {
  const auto found =
      std::ranges::find_if(packings(), [&](const Packing& p) { return file.extension() == p.suffix; });
  return found == packings().end() ? nullptr : &*found;
}

void refuse_mislabelled(const fs::path& file, const Packing* packing) {
  const Packing* named = packing_by_name(file);
  if (!named || named == packing) return;
  const std::string kind = kind_of_file(file);
  fail_data("{}: its name ends in {}, found {}", file.string(), named->suffix,
            kind.empty() ? "something that is not packed" : kind);
}

std::unique_ptr<PlainStream> open_plain(const fs::path& file) {
  const std::string problem = input_problem(file);
  if (!problem.empty()) fail_data("{}", problem);
  return std::make_unique<PlainStream>(file);
}

}  // namespace

Columnar columnar_form(const fs::path& file) {
  const std::string suffix = file.extension();
  if (suffix == ".parquet") return Columnar::parquet;
  if (suffix == ".arrow" || suffix == ".feather") return Columnar::arrow;
  const std::string front = open_plain(file)->peek(kKindBytes);
  if (front.starts_with(kParquet)) return Columnar::parquet;
  return is_arrow(front) ? Columnar::arrow : Columnar::none;
}

bool is_packed_name(const fs::path& file) {
  return packing_by_name(file) != nullptr;
}

std::unique_ptr<ByteStream> open_stream(const fs::path& file) {
  auto plain = open_plain(file);
  const Packing* packing = packing_of(plain->peek(kPackingBytes));
  refuse_mislabelled(file, packing);
  if (!packing) return plain;
  return std::make_unique<PackedStream>(file.string(), std::move(plain), *packing);
}

}  // namespace rocket
