#include "base/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <random>
#include <system_error>
#include <utility>

#include "base/activity.h"
#include "base/error.h"

namespace rocket {
namespace {

class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags, mode_t mode = 0)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  ~Descriptor() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  bool ok() const { return fd_ >= 0; }
  int get() const { return fd_; }
  /// Closes; false where the system reports a late write error (NFS does so here).
  bool close() { return ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

// One read or write moves at most 2^31 - 4096 bytes on Linux; ask for less.
constexpr std::size_t kMaxTransfer = std::size_t{1} << 30;

[[noreturn]] void fail_reading(const fs::path& path, int error) {
  fail_data("cannot read '{}': {}", path.string(), std::strerror(error));
}

[[noreturn]] void fail_writing(const fs::path& path, int error) {
  fail_storage("cannot write '{}': {}", path.string(), std::strerror(error));
}

struct stat status_for_reading(const Descriptor& file, const fs::path& path) {
  struct stat status;
  if (!file.ok() || ::fstat(file.get(), &status) != 0) {
    fail_reading(path, errno);
  }
  if (S_ISDIR(status.st_mode)) {
    fail_reading(path, EISDIR);
  }
  return status;
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// Unique among ranks too: processes on two nodes may share a pid.
fs::path temporary_name(const fs::path& path) {
  std::random_device device;
  const std::uint64_t random = (std::uint64_t{device()} << 32) | device();
  fs::path name = path;
  name += fmt::format("{}{}-{:016x}", kTemporaryMark, ::getpid(), random);
  return name;
}

void sync_folder(const fs::path& path) {
  const fs::path folder = folder_of(path);
  Descriptor descriptor(folder, O_RDONLY | O_DIRECTORY);
  // EINVAL: this file system has no fsync of folders.
  if (!descriptor.ok() || (::fsync(descriptor.get()) != 0 && errno != EINVAL)) {
    fail_writing(folder, errno);
  }
}

void write_whole(const fs::path& temporary, const fs::path& path, std::string_view content) {
  Descriptor file(temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
  if (!file.ok()) {
    fail_writing(path, errno);
  }
  while (!content.empty()) {
    const ssize_t n = ::write(file.get(), content.data(), std::min(content.size(), kMaxTransfer));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      fail_writing(path, errno);
    }
    content.remove_prefix(static_cast<std::size_t>(n));
    note_activity();
  }
  if (!file.close()) {
    fail_writing(path, errno);
  }
}

}  // namespace

std::string read_file(const fs::path& path) {
  Descriptor file(path, O_RDONLY);
  const struct stat status = status_for_reading(file, path);
  std::string content;
  std::size_t length = 0;
  // One byte more than expected, so that the end of the file is seen without growing the buffer.
  content.resize(static_cast<std::size_t>(std::max<off_t>(status.st_size, 0)) + 1);
  for (;;) {
    if (length == content.size()) {
      content.resize(2 * length);
    }
    const ssize_t n =
        ::read(file.get(), content.data() + length, std::min(content.size() - length, kMaxTransfer));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      fail_reading(path, errno);
    }
    if (n == 0) {
      content.resize(length);
      return content;
    }
    length += static_cast<std::size_t>(n);
    note_activity();
  }
}

void write_file(const fs::path& path, std::string_view content) {
  PendingFile pending(path);
  write_whole(pending.temporary(), path, content);
  pending.commit();
}

std::string folder_name(const fs::path& path) {
  const fs::path whole = fs::absolute(path).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

void make_folders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error || !fs::is_directory(path, error)) {
    fail_storage("cannot make the folder '{}': {}", path.string(),
                 error ? error.message() : "a file is in the way");
  }
}

void require_writable(const fs::path& folder) {
  fs::path there = fs::absolute(folder).lexically_normal();
  std::error_code unreadable;
  while (!fs::exists(there, unreadable) && there.has_relative_path()) {
    there = there.parent_path();
  }
  if (!fs::is_directory(there, unreadable)) {
    fail_storage("cannot make the folder '{}': '{}' is no folder", folder.string(), there.string());
  }
  if (Descriptor(there, O_TMPFILE | O_WRONLY, 0600).ok()) {
    return;
  }
  // Not every file system knows files without a name.
  const fs::path probe = temporary_name(there / "probe");
  if (!Descriptor(probe, O_WRONLY | O_CREAT | O_EXCL, 0600).ok()) {
    fail_writing(folder, errno);
  }
  ::unlink(probe.c_str());
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) {
    fail_storage("cannot remove '{}': {}", path.string(), error.message());
  }
}

void remove_leftovers(const fs::path& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().filename().string().find(kTemporaryMark) != std::string::npos) {
      remove_tree(entry.path());
    }
  }
}

PendingFile::PendingFile(fs::path path) : path_(std::move(path)), temporary_(temporary_name(path_)) {
}

PendingFile::~PendingFile() {
  if (!committed_) {
    ::unlink(temporary_.c_str());
  }
}

void PendingFile::commit() {
  {
    Descriptor file(temporary_, O_RDONLY);
    if (!file.ok() || ::fsync(file.get()) != 0) {
      fail_writing(path_, errno);
    }
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    fail_writing(path_, errno);
  }
  committed_ = true;
  sync_folder(path_);
}

MappedFile::MappedFile(const fs::path& path) {
  Descriptor file(path, O_RDONLY | O_NONBLOCK);  // a pipe in the way is refused below instead of waited for
  const struct stat status = status_for_reading(file, path);
  if (!S_ISREG(status.st_mode)) {
    fail_data("cannot map '{}': not a regular file", path.string());
  }
  const auto length = static_cast<std::size_t>(status.st_size);
  if (length == 0) {
    return;  // mmap refuses an empty mapping
  }
  void* address = ::mmap(nullptr, length, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) {
    fail_data("cannot map '{}': {}", path.string(), std::strerror(errno));
  }
  bytes_ = {static_cast<const std::byte*>(address), length};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) {
    ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
}

void MappedFile::forget_pages() const {
  if (!bytes_.empty()) {
    ::madvise(const_cast<std::byte*>(bytes_.data()), bytes_.size(), MADV_DONTNEED);
  }
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {
}

}  // namespace rocket
