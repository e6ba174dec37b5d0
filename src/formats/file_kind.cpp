#include "formats/file_kind.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>

#include "base/error.h"
#include "formats/unpacker.h"

namespace rocket {
namespace {

using namespace std::string_view_literals;
using View = std::string_view;

/// Bytes at a place of the file that mark its kind.
struct Mark {
  View bytes;
  const char* kind;
  std::size_t at = 0;
};

constexpr const char* kUnpack = "unpack it first (data may be plain, .gz, .zst, .bz2 or .xz)";
constexpr const char* kUtf16 = "text in UTF-16: convert it, e.g. `iconv -f UTF-16 -t UTF-8`";
constexpr const char* kUtf32 = "text in UTF-32: convert it, e.g. `iconv -f UTF-32 -t UTF-8`";

// The longer of two that begin alike comes first.
constexpr std::array kMarks{
    Mark{"version https://git-lfs.github.com/spec/",
         "a Git LFS pointer in place of the data: run `git lfs pull`"},
    Mark{"version https://hawser.github.com/spec/",
         "a Git LFS pointer in place of the data: run `git lfs pull`"},
    Mark{"\xff\xfe\0\0"sv, kUtf32},
    Mark{"\0\0\xfe\xff"sv, kUtf32},
    Mark{"\xff\xfe"sv, kUtf16},
    Mark{"\xfe\xff"sv, kUtf16},
    Mark{"PAR1", "a Parquet file"},
    Mark{"PARE", "an encrypted Parquet file: decrypt it first"},
    Mark{"FEA1", "a Feather file: save it as Parquet or JSONL"},
    Mark{"ORC", "an ORC file: save it as Parquet or JSONL"},
    Mark{"Obj\x01", "an Avro file: save it as Parquet or JSONL"},
    Mark{"\x5d\0\0"sv, "an lzma file"},
    Mark{"\x04\x22\x4d\x18", "an LZ4 file"},
    Mark{"\xff\x06\0\0sNaPpY"sv, "a Snappy file"},
    Mark{"\x1f\x9d", "a file of `compress` (.Z)"},
    Mark{"7z\xbc\xaf\x27\x1c", "a 7z archive"},
    Mark{"Rar!\x1a\x07", "a RAR archive"},
    Mark{"ustar", "a tar archive", 257},
    Mark{"PK\x05\x06", "an empty ZIP archive"},
    Mark{"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", "a file of torch.save before PyTorch 1.6"},
    Mark{"SQLite format 3\0"sv, "an SQLite data base: export it as JSONL"},
    Mark{"DUCK", "a DuckDB data base: export it as Parquet or JSONL", 8},
    Mark{"\x89HDF\r\n\x1a\n", "an HDF5 file"},
    Mark{"\x93NUMPY", "a NumPy array"},
    Mark{"GGUF", "a GGUF model (llama.cpp)"},
    Mark{"%PDF-", "a PDF document"},
    Mark{"\x89PNG\r\n\x1a\n", "a PNG picture"},
    Mark{"\xff\xd8\xff", "a JPEG picture"},
    Mark{"\x7f"
         "ELF",
         "a program (ELF)"},
};

bool is_one_of_packed(View kind) {
  return std::ranges::any_of(std::array{"lzma", "LZ4", "Snappy", "compress", "archive"},
                             [&](View word) { return kind.find(word) != View::npos; });
}

std::string with_advice(View kind) {
  return is_one_of_packed(kind) ? fmt::format("{}: {}", kind, kUnpack) : std::string(kind);
}

std::uint64_t little_endian_at(View front, std::size_t at, std::size_t length) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < length; ++i)
    value |= std::uint64_t{static_cast<unsigned char>(front[at + i])} << (8 * i);
  return value;
}

/// The name of the first entry says who wrote the archive.
std::string zip_kind(View front) {
  constexpr std::size_t kName = 30;
  if (front.size() < kName) return "a ZIP archive that is cut short";
  const View name = front.substr(kName, little_endian_at(front, 26, 2));
  if (name.ends_with("/data.pkl") || name.ends_with("/version") || name.ends_with("/byteorder"))
    return "a file of torch.save (ZIP)";
  if (name.ends_with(".npy")) return "a NumPy archive (.npz)";
  if (name == "[Content_Types].xml" || name.starts_with("xl/") || name.starts_with("_rels/"))
    return "an office document (.xlsx, .docx): export it as JSONL";
  return with_advice("a ZIP archive");
}

/// "\x80", the protocol and, from protocol 4 on, a frame; of 2 and 3 the container that nearly all begin
/// with.
bool is_pickle(View front) {
  if (front.size() < 4 || front[0] != '\x80') return false;
  const char protocol = front[1], next = front[2];
  if (protocol == 4 || protocol == 5) return next == '\x95' || next == ']' || next == '}' || next == '\x8c';
  return (protocol == 2 || protocol == 3) && View("]}(ccX\x8a").find(next) != View::npos;
}

/// Continuation mark, length, and a flat buffer whose root lies near.
bool is_arrow_stream(View front) {
  if (front.size() < 12 || !front.starts_with("\xff\xff\xff\xff")) return false;
  const std::uint64_t length = little_endian_at(front, 4, 4), root = little_endian_at(front, 8, 4);
  return length > 8 && length < (1u << 28) && length % 8 == 0 && root >= 4 && root < 256;
}

bool is_safetensors(View front) {
  constexpr std::uint64_t kMaxHeader = 100'000'000;
  if (front.size() < 10 || front[8] != '{') return false;
  const std::uint64_t length = little_endian_at(front, 0, 8);
  return length >= 2 && length <= kMaxHeader && (front[9] == '"' || front[9] == '}' || front[9] == ' ');
}

/// A text of ASCII in UTF-16 without a mark: every second byte of its first characters is zero.
bool is_bare_utf16(View front) {
  if (front.size() < 8) return false;
  const auto zeros = [&](std::size_t from) {
    for (std::size_t i = 0; i < 8; ++i)
      if ((front[i] == '\0') != (i % 2 == from)) return false;
    return true;
  };
  return zeros(0) || zeros(1);
}

/// Behind a byte order mark and white space.
View without_blanks(View front) {
  constexpr View kByteOrderMark = "\xef\xbb\xbf";
  if (front.starts_with(kByteOrderMark)) front.remove_prefix(kByteOrderMark.size());
  return front.substr(std::min(front.find_first_not_of(" \t\r\n"), front.size()));
}

bool begins_as_json(View front) {
  const View text = without_blanks(front);
  return text.starts_with('{') || text.starts_with('[');
}

bool begins_with_word(View text, View word) {
  return text.size() >= word.size() && std::equal(word.begin(), word.end(), text.begin(), [](char w, char t) {
           return w == (t >= 'A' && t <= 'Z' ? static_cast<char>(t - 'A' + 'a') : t);
         });
}

std::string markup_kind(View front) {
  const View text = without_blanks(front);
  for (const View word : {"<!doctype html", "<html", "<head", "<body", "<script", "<title"})
    if (begins_with_word(text, word))
      return "an HTML page in place of the data (an error page or a login?): download the file again";
  if (begins_with_word(text, "<?xml") || begins_with_word(text, "<error"))
    return "an XML document in place of the data (an error message of a server?): download the file again";
  return "";
}

/// What git and archives leave of a link on systems without: its target as the file's content.
bool is_link_as_text(View front) {
  return front.starts_with("../") && front.size() < 256 &&
         std::ranges::all_of(front, [](unsigned char c) { return c > ' '; });
}

}  // namespace

bool is_arrow(View front) {
  return front.starts_with("ARROW1") || is_arrow_stream(front);
}

std::string file_kind(View front) {
  front = front.substr(0, kKindBytes);
  if (is_bare_utf16(front)) return kUtf16;
  if (begins_as_json(front)) return "";  // the marks below may stand inside a text
  if (is_arrow(front)) return "an Arrow file";
  if (const Packing* packing = packing_of(front)) return fmt::format("a file packed with {}", packing->name);
  if (front.starts_with("PK\x03\x04")) return zip_kind(front);
  if (is_safetensors(front)) return "a safetensors file";
  for (const Mark& mark : kMarks)
    if (front.size() > mark.at && front.substr(mark.at).starts_with(mark.bytes))
      return with_advice(mark.kind);
  if (is_pickle(front)) return "a Python pickle, which is not read: it may run any program";
  if (front.size() >= 64 && front.find_first_not_of('\0') == View::npos)
    return "zero bytes only (a write that did not end?)";
  if (is_link_as_text(front))
    return fmt::format(
        "the text '{}', which is a link where links were not kept: copy the folder with its links", front);
  return markup_kind(front);
}

std::string first_bytes(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string front(kKindBytes, '\0');
  in.read(front.data(), static_cast<std::streamsize>(front.size()));
  front.resize(static_cast<std::size_t>(in.gcount()));
  return front;
}

std::string kind_of_file(const std::filesystem::path& file) {
  const std::string front = first_bytes(file);
  return front.empty() ? "an empty file" : file_kind(front);
}

void refuse_other_kinds(View front, const std::string& file, View expected, View own) {
  if (const std::string kind = file_kind(front); !kind.empty() && (own.empty() || !kind.starts_with(own)))
    fail_data("{}: expected {}, found {}", file, expected, kind);
}

std::string text_kind(View line) {
  constexpr std::size_t kShown = 40;
  if (line.find('\t') != View::npos) return "this looks like TSV; save it as JSONL, one object a line";
  if (line.find(',') != View::npos) return "this looks like CSV; save it as JSONL, one object a line";
  std::string shown(line.substr(0, kShown));
  for (char& c : shown)
    if (static_cast<unsigned char>(c) < ' ' || static_cast<unsigned char>(c) > '~') c = '?';
  return fmt::format("it begins with `{}{}`", shown, line.size() > kShown ? "..." : "");
}

}  // namespace rocket
