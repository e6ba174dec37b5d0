// What a file is, told by its first bytes: for messages about files that are not what a reader expects.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace rocket {

/// As many first bytes as `file_kind` looks at; the mark of a tar archive lies behind byte 256.
inline constexpr std::size_t kKindBytes = 1024;

/// What begins with these bytes and what to do about it, to stand behind "found ":
/// "a Git LFS pointer in place of the data: run `git lfs pull`". Known are pointers, pages, archives, packed
/// and columnar files, weights, pickles, data bases, and texts in UTF-16 or UTF-32. Empty: nothing that is
/// known, which is what JSON, CSV and plain text are.
std::string file_kind(std::string_view front);

/// Whether they are the first ones of an Arrow IPC stream or file.
bool is_arrow(std::string_view front);

/// The first bytes of a file, at most kKindBytes; none if it cannot be read.
std::string first_bytes(const std::filesystem::path& file);

/// `file_kind` of these; "an empty file" where there are none.
std::string kind_of_file(const std::filesystem::path& file);

/// Throws data (65) "<file>: expected <expected>, found <kind>" where the bytes are of a kind that does not
/// begin with `own`.
void refuse_other_kinds(std::string_view front, const std::string& file, std::string_view expected,
                        std::string_view own = "");

/// What a line of text that is no JSON looks like: CSV, TSV, a text of so-and-so beginning. `line` must not
/// begin with '{' or '['.
std::string text_kind(std::string_view line);

}  // namespace rocket
