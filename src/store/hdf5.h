// HDF5 files: made in memory, written once under a temporary name and committed by rename; read with every
// check. One thread of a process at a time: not every HDF5 library is built for more.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rocket {

using Shape = std::vector<std::int64_t>;

/// Rows [first_row, first_row + rows) of a virtual data set, held by `dataset` of `file` (relative to the
/// folder of the file that is being written).
struct VirtualPart {
  std::string file;
  std::string dataset;
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
};

/// The bits of a float16, for data sets that are written as such. They are read as float.
struct Float16 {
  std::uint16_t bits = 0;
};

/// T is one of float, double, Float16, std::int32_t, std::int64_t, std::uint8_t.
class H5Writer {
 public:
  /// Throws storage (74) if nothing can be written there.
  explicit H5Writer(const std::filesystem::path& path);
  ~H5Writer();
  H5Writer(const H5Writer&) = delete;
  H5Writer& operator=(const H5Writer&) = delete;

  /// Row-major; data.size() must be the product of `shape`.
  template <class T>
  void write(const std::string& name, std::span<const T> data, const Shape& shape);
  template <class T>
  void write(const std::string& name, const std::vector<T>& data) {
    write<T>(name, std::span<const T>(data), {static_cast<std::int64_t>(data.size())});
  }
  template <class T>
  void write(const std::string& name, const std::vector<T>& data, const Shape& shape) {
    write<T>(name, std::span<const T>(data), shape);
  }
  /// Variable-length UTF-8.
  void write_strings(const std::string& name, std::span<const std::string> data, const Shape& shape);
  /// A data set that is read from parts. The parts cover its rows in order, without gaps. Keep them below a
  /// few hundred: HDF5 itself (h5py), unlike H5Reader, holds one open file a part and shows NaN where the
  /// limit (1024) is reached.
  template <class T>
  void write_virtual(const std::string& name, const Shape& shape, std::span<const VirtualPart> parts);
  /// A string attribute of the file.
  void attribute(const std::string& name, const std::string& value);

  /// Closes, seals, flushes to disk, renames to its own name. Without it nothing is left behind.
  void commit();

 private:
  struct File;
  std::unique_ptr<File> file_;
};

class H5Reader {
 public:
  /// Throws data (65) naming the file if it is absent, truncated or no HDF5.
  explicit H5Reader(const std::filesystem::path& path);
  ~H5Reader();
  H5Reader(H5Reader&&) noexcept;

  bool has(const std::string& name) const;
  /// Throws data (65) naming file and data set if there is none; the same holds for all below.
  Shape shape(const std::string& name) const;
  template <class T>
  std::vector<T> read(const std::string& name) const;
  /// Checks the shape first; -1 in `expected` stands for any length.
  template <class T>
  std::vector<T> read(const std::string& name, const Shape& expected) const;
  /// Rows [first, first + count) of a data set of rank 1 or 2, row-major.
  template <class T>
  std::vector<T> read_rows(const std::string& name, std::int64_t first, std::int64_t count) const;
  /// Of a virtual data set the parts behind it, whose files are not opened here; of any other none.
  std::vector<VirtualPart> parts(const std::string& name) const;
  std::vector<std::string> read_strings(const std::string& name) const;
  std::vector<std::string> read_strings(const std::string& name, const Shape& expected) const;
  /// Empty if there is none.
  std::string attribute(const std::string& name) const;

 private:
  struct File;
  std::unique_ptr<File> file_;
};

/// Throws data (65) naming the file unless its bytes are those that an H5Writer committed. To be called
/// before a file is opened of which no damage may pass: HDF5 does not notice a changed value, and versions of
/// it crash on changed structures. Reads the whole file.
void check_seal(const std::filesystem::path& path);

std::string hdf5_version();

}  // namespace rocket
