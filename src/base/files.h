// Files: reading whole or mapped, and the one way in which rocket writes: beside, flushed, renamed.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace rocket {

namespace fs = std::filesystem;

/// The whole file. Throws data (65) with the path if it cannot be read.
std::string read_file(const fs::path& path);

/// Commits `content` as `path`: temporary file beside it, fsync, rename, fsync of the folder.
/// Throws storage (74); the old file, if any, is then untouched.
void write_file(const fs::path& path, std::string_view content);

/// The last component of a path, also of "a/b/" and "."
std::string folder_name(const fs::path& path);

/// mkdir -p. Throws storage (74).
void make_folders(const fs::path& path);

/// Throws storage (74) unless files can be made in the folder, or, where it is absent, in the nearest one
/// above it. Leaves nothing behind.
void require_writable(const fs::path& folder);

/// Removes a file or folder with all it holds; absent is fine. Throws storage (74).
void remove_tree(const fs::path& path);

/// Part of the name of every temporary file of rocket.
inline constexpr std::string_view kTemporaryMark = ".tmp-";

/// Removes the temporary files that killed processes left in `folder` itself (not below it). Call it where
/// nobody writes there. An absent folder is fine. Throws storage (74).
void remove_leftovers(const fs::path& folder);

/// A file being written under a temporary name. `commit()` flushes it to disk and renames it to
/// its own name; without it the destructor removes the temporary file.
class PendingFile {
 public:
  explicit PendingFile(fs::path path);
  ~PendingFile();
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;

  /// Where to write. The file does not exist yet.
  const fs::path& temporary() const { return temporary_; }
  void commit();

 private:
  fs::path path_, temporary_;
  bool committed_ = false;
};

/// A read-only memory-mapped file: shared by the ranks of a node through the page cache.
class MappedFile {
 public:
  /// Throws data (65) if the file cannot be opened or mapped.
  explicit MappedFile(const fs::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  MappedFile(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  /// Its pages no longer count as this process's memory; what is read again comes from the page cache.
  void forget_pages() const;

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace rocket
