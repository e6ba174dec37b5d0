#include "formats/zip_archive.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <string_view>

#include "base/bytes.h"
#include "base/error.h"
#include "formats/json_reader.h"

namespace rocket {
namespace {

// Sizes of the records without their names, and what stands in front of each.
constexpr std::uint64_t kLocal = 30, kCentral = 46, kEnd = 22, kEnd64 = 56, kLocator = 20;
constexpr std::uint64_t kMaxComment = 0xffff;
constexpr std::uint64_t kLocalSign = 0x04034b50, kCentralSign = 0x02014b50, kEndSign = 0x06054b50,
                        kEnd64Sign = 0x06064b50, kLocatorSign = 0x07064b50;
constexpr std::uint64_t kWide16 = 0xffff, kWide32 = 0xffffffff;  // "see the zip64 record"

/// Little-endian numbers of a file; whatever reaches beyond it is an error.
class Fields {
 public:
  Fields(std::span<const std::byte> bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  std::uint64_t size() const { return bytes_.size(); }

  std::span<const std::byte> piece(std::uint64_t at, std::uint64_t length, const char* what) const {
    if (at > bytes_.size() || length > bytes_.size() - at)
      fail_data("{}: {}: {} bytes at {} of {}: the archive is damaged or cut short", file_, what, length, at,
                bytes_.size());
    return bytes_.subspan(at, length);
  }
  std::uint64_t number(std::uint64_t at, std::uint64_t length) const {
    return little_endian(piece(at, length, "directory"));
  }
  std::string text(std::uint64_t at, std::uint64_t length) const {
    const auto field = piece(at, length, "name of an entry");
    return {reinterpret_cast<const char*>(field.data()), field.size()};
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& file_;
};

struct Directory {
  std::uint64_t entries = 0, bytes = 0, start = 0;
};

/// Where the end record stands: the last one whose comment reaches exactly to the end of the file.
std::uint64_t find_end(const Fields& file, const std::string& name) {
  for (std::uint64_t comment = 0; comment <= kMaxComment && comment + kEnd <= file.size(); ++comment) {
    const std::uint64_t at = file.size() - kEnd - comment;
    if (file.number(at, 4) == kEndSign && file.number(at + 20, 2) == comment) return at;
  }
  fail_data("{}: no ZIP archive: its directory is missing (is the file cut short?)", name);
}

Directory read_end(const Fields& file, const std::string& name) {
  const std::uint64_t end = find_end(file, name);
  Directory found{file.number(end + 10, 2), file.number(end + 12, 4), file.number(end + 16, 4)};
  std::uint64_t disks = file.number(end + 4, 4), limit = end;
  if (found.entries == kWide16 || found.bytes == kWide32 || found.start == kWide32) {
    if (end < kLocator || file.number(end - kLocator, 4) != kLocatorSign)
      fail_data("{}: the zip64 part of its directory is missing", name);
    limit = file.number(end - kLocator + 8, 8);
    file.piece(limit, kEnd64, "zip64 directory");
    if (file.number(limit, 4) != kEnd64Sign)
      fail_data("{}: the zip64 part of its directory is damaged", name);
    found = {file.number(limit + 32, 8), file.number(limit + 40, 8), file.number(limit + 48, 8)};
    disks = file.number(limit + 16, 8);
  }
  if (disks != 0) fail_data("{}: its directory is spread over several files", name);
  if (found.start > limit || found.bytes > limit - found.start || found.entries > found.bytes / kCentral)
    fail_data("{}: its directory ({} entries, {} bytes at {}) does not fit the file of {} bytes", name,
              found.entries, found.bytes, found.start, file.size());
  return found;
}

/// One record of the directory.
struct Record {
  std::string name;
  std::uint64_t flags = 0, method = 0, packed = 0, size = 0, local = 0;
  std::uint64_t length = 0;  // of the record itself
};

/// Replaces the fields that are too narrow by those of the zip64 extra field, which come in this order.
void widen(Record& record, const Fields& file, std::uint64_t at, std::uint64_t end,
           const std::string& place) {
  std::vector<std::uint64_t*> narrow;
  for (std::uint64_t* field : {&record.size, &record.packed, &record.local})
    if (*field == kWide32) narrow.push_back(field);
  for (; !narrow.empty() && at + 4 <= end; at += 4 + file.number(at + 2, 2)) {
    if (file.number(at, 2) != 1) continue;
    if (file.number(at + 2, 2) < 8 * narrow.size() || at + 4 + 8 * narrow.size() > end) break;
    for (std::size_t i = 0; i < narrow.size(); ++i) *narrow[i] = file.number(at + 4 + 8 * i, 8);
    return;
  }
  if (!narrow.empty()) fail_data("{}: its zip64 sizes are missing", place);
}

Record read_record(const Fields& file, std::uint64_t at, const std::string& name) {
  if (file.number(at, 4) != kCentralSign) fail_data("{}: its directory is damaged at byte {}", name, at);
  const std::uint64_t name_length = file.number(at + 28, 2), extra = file.number(at + 30, 2);
  Record record;
  record.flags = file.number(at + 8, 2);
  record.method = file.number(at + 10, 2);
  record.packed = file.number(at + 20, 4);
  record.size = file.number(at + 24, 4);
  record.local = file.number(at + 42, 4);
  record.name = file.text(at + kCentral, name_length);
  record.length = kCentral + name_length + extra + file.number(at + 32, 2);
  const std::uint64_t extra_start = at + kCentral + name_length;
  file.piece(extra_start, extra, "directory");
  widen(record, file, extra_start, extra_start + extra,
        fmt::format("{}: entry {}", name, shown(nlohmann::json(record.name))));
  return record;
}

ZipEntry open_entry(const Fields& file, const Record& record, std::uint64_t directory,
                    const std::string& name) {
  const std::string place = fmt::format("{}: entry {}", name, shown(nlohmann::json(record.name)));
  if (record.flags & 1) fail_data("{}: it is encrypted", place);
  if (record.method != 0 || record.packed != record.size)
    fail_data("{}: it is compressed, which torch.save never does; unpack it and zip it with `zip -0 -r`",
              place);
  file.piece(record.local, kLocal, "header of an entry");
  if (file.number(record.local, 4) != kLocalSign)
    fail_data("{}: there is no header of an entry at byte {}", place, record.local);
  const std::uint64_t name_length = file.number(record.local + 26, 2);
  const std::uint64_t start = record.local + kLocal + name_length + file.number(record.local + 28, 2);
  if (file.text(record.local + kLocal, name_length) != record.name)
    fail_data("{}: the header at byte {} has another name", place, record.local);
  if (start > directory || record.size > directory - start)
    fail_data("{}: {} bytes at {} reach into the directory at {}", place, record.size, start, directory);
  return {record.name, file.piece(start, record.size, "entry")};
}

}  // namespace

std::vector<ZipEntry> read_zip(std::span<const std::byte> bytes, const std::string& file) {
  const Fields fields(bytes, file);
  const Directory directory = read_end(fields, file);
  std::vector<ZipEntry> entries;
  std::set<std::string> seen;
  std::uint64_t at = directory.start;
  const std::uint64_t end = directory.start + directory.bytes;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    const Record record = read_record(fields, at, file);
    at += record.length;
    if (at > end) fail_data("{}: its directory is longer than it says", file);
    if (record.name.ends_with('/')) continue;
    if (!seen.insert(record.name).second)
      fail_data("{}: entry {} is there twice", file, shown(nlohmann::json(record.name)));
    entries.push_back(open_entry(fields, record, directory.start, file));
  }
  if (at != end)
    fail_data("{}: its directory holds more than the {} entries it counts", file, directory.entries);
  return entries;
}

}  // namespace rocket
