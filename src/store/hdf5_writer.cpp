#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "base/activity.h"
#include "base/error.h"
#include "base/files.h"
#include "store/hdf5.h"
#include "store/hdf5_handle.h"
#include "store/seal.h"

namespace rocket {
namespace {

constexpr std::size_t kGrowth = std::size_t{1} << 20;

std::vector<hsize_t> dims_of(const Shape& shape) {
  return {shape.begin(), shape.end()};
}

H5Handle make_space(const Shape& shape) {
  const auto dims = dims_of(shape);
  return {H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr), H5Sclose};
}

H5Handle rows_of(const Shape& shape, std::int64_t first, std::int64_t rows) {
  H5Handle space = make_space(shape);
  auto count = dims_of(shape);
  std::vector<hsize_t> start(shape.size(), 0);
  start[0] = static_cast<hsize_t>(first);
  count[0] = static_cast<hsize_t>(rows);
  H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr);
  return space;
}

// Without times of its own a data set is a function of its contents, and so is the file.
H5Handle creation_options() {
  H5Handle options(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_obj_track_times(options.get(), false);
  return options;
}

// What plain h5py shows where a part has gone missing.
template <class T>
void set_missing_value(hid_t options) {
  if constexpr (std::is_floating_point_v<T>) {
    const T missing = std::numeric_limits<T>::quiet_NaN();
    H5Pset_fill_value(options, native_type<T>(), &missing);
  } else if constexpr (std::is_same_v<T, Float16>) {
    constexpr Float16 missing{0x7e00};  // a NaN
    H5Pset_fill_value(options, native_type<T>(), &missing);
  }
}

void check_parts(const std::string& name, std::int64_t rows, std::span<const VirtualPart> parts) {
  std::int64_t next = 0;
  for (const VirtualPart& part : parts) {
    if (part.first_row != next || part.rows <= 0) {
      fail_internal("data set '{}': part '{}' starts at row {}, expected {}", name, part.file, part.first_row,
                    next);
    }
    // HDF5 reads % in these names as a pattern.
    if (part.file.find('%') != std::string::npos || part.dataset.find('%') != std::string::npos) {
      fail_internal("data set '{}': part '{}' of '{}' has a % in its name", name, part.dataset, part.file);
    }
    next += part.rows;
  }
  if (next != rows) {
    fail_internal("data set '{}': its parts hold {} rows, expected {}", name, next, rows);
  }
}

}  // namespace

// The file is made in memory and written in one go: a full disk inside the library's own flush ends in a
// segmentation fault (HDF5 1.10), our own write ends in an error.
struct H5Writer::File {
  std::filesystem::path path;
  H5Handle file;

  [[noreturn]] void fail_here(const std::string& what) const {
    fail_internal("cannot write {} of '{}': {}", what, path.string(), hdf5_reason());
  }

  H5Handle create(const std::string& name, hid_t type, const H5Handle& space, const H5Handle& options) const {
    H5Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
    H5Pset_create_intermediate_group(links.get(), 1);
    H5Handle dataset(
        H5Dcreate2(file.get(), name.c_str(), type, space.get(), links.get(), options.get(), H5P_DEFAULT),
        H5Dclose);
    if (!dataset.ok()) {
      fail_here(fmt::format("data set '{}'", name));
    }
    return dataset;
  }

  void write(const std::string& name, hid_t type, const void* data, std::size_t size,
             const Shape& shape) const {
    silence_hdf5();
    std::int64_t product = 0;
    if (!product_of(shape, product) || static_cast<std::size_t>(product) != size) {
      fail_internal("data set '{}' of '{}': {} values for shape {}", name, path.string(), size,
                    shape_text(shape));
    }
    const H5Handle dataset = create(name, type, make_space(shape), creation_options());
    note_activity();
    if (size != 0 && H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0) {
      fail_here(fmt::format("data set '{}'", name));
    }
  }
};

H5Writer::H5Writer(const std::filesystem::path& path) : file_(std::make_unique<File>()) {
  silence_hdf5();
  file_->path = path;
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    fail_storage("cannot write '{}': {}", path.string(), std::strerror(errno));
  }
  H5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_core(access.get(), kGrowth, false);
  file_->file = {H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), H5Fclose};
  if (!file_->file.ok()) {
    file_->fail_here("the head");
  }
}

H5Writer::~H5Writer() = default;

template <class T>
void H5Writer::write(const std::string& name, std::span<const T> data, const Shape& shape) {
  file_->write(name, native_type<T>(), data.data(), data.size(), shape);
}

void H5Writer::write_strings(const std::string& name, std::span<const std::string> data, const Shape& shape) {
  std::vector<const char*> pointers;
  pointers.reserve(data.size());
  for (const std::string& text : data) {
    if (text.find('\0') != std::string::npos) {
      fail_internal("data set '{}' of '{}': a string with U+0000", name, file_->path.string());
    }
    pointers.push_back(text.c_str());
  }
  file_->write(name, string_type().get(), pointers.data(), pointers.size(), shape);
}

template <class T>
void H5Writer::write_virtual(const std::string& name, const Shape& shape,
                             std::span<const VirtualPart> parts) {
  silence_hdf5();
  if (shape.empty()) {
    fail_internal("virtual data set '{}' without rows", name);
  }
  check_parts(name, shape[0], parts);
  std::int64_t product = 0;
  if (product_of(shape, product) && product == 0) {
    return write<T>(name, std::span<const T>(), shape);
  }
  const H5Handle options = creation_options();
  set_missing_value<T>(options.get());
  for (const VirtualPart& part : parts) {
    Shape part_shape = shape;
    part_shape[0] = part.rows;
    // Named, as closing them after a failure would wipe the reason.
    const H5Handle rows = rows_of(shape, part.first_row, part.rows), source = make_space(part_shape);
    if (H5Pset_virtual(options.get(), rows.get(), part.file.c_str(), part.dataset.c_str(), source.get()) <
        0) {
      file_->fail_here(fmt::format("data set '{}'", name));
    }
  }
  file_->create(name, native_type<T>(), make_space(shape), options);
}

void H5Writer::attribute(const std::string& name, const std::string& value) {
  silence_hdf5();
  const H5Handle type = string_type();
  const H5Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const H5Handle attribute(
      H5Acreate2(file_->file.get(), name.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT),
      H5Aclose);
  const char* text = value.c_str();
  if (!attribute.ok() || H5Awrite(attribute.get(), type.get(), &text) < 0) {
    file_->fail_here(fmt::format("attribute '{}'", name));
  }
}

void H5Writer::commit() {
  silence_hdf5();
  const hid_t file = file_->file.get();
  const ssize_t size = H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 ? -1 : H5Fget_file_image(file, nullptr, 0);
  std::string image;
  image.reserve(static_cast<std::size_t>(std::max<ssize_t>(size, 0)) +
                kSealSize);  // no second copy when it is sealed
  image.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  if (size <= 0 || H5Fget_file_image(file, image.data(), image.size()) != size) {
    file_->fail_here("the whole");
  }
  file_->file.reset();
  write_file(file_->path, image += seal_of(image));
}

#define ROCKET_INSTANTIATE(T)                                                             \
  template void H5Writer::write<T>(const std::string&, std::span<const T>, const Shape&); \
  template void H5Writer::write_virtual<T>(const std::string&, const Shape&, std::span<const VirtualPart>);
ROCKET_INSTANTIATE(float)
ROCKET_INSTANTIATE(double)
ROCKET_INSTANTIATE(Float16)
ROCKET_INSTANTIATE(std::int32_t)
ROCKET_INSTANTIATE(std::int64_t)
ROCKET_INSTANTIATE(std::uint8_t)
#undef ROCKET_INSTANTIATE

}  // namespace rocket
