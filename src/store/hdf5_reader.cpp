#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "base/activity.h"
#include "base/error.h"
#include "store/hdf5.h"
#include "store/hdf5_handle.h"

namespace rocket {
namespace {

namespace fs = std::filesystem;

struct Rows {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

// One mapping of a virtual data set, as stored in the file.
struct StoredPart {
  std::string file, dataset;
  Rows rows;
};

// Parts that are open at once: few, as a process may open few files. Rows are mostly read in order.
constexpr std::size_t kOpenParts = 16;

// Finished files are never reopened for writing, so locks only add a way to fail (Lustre, NFS).
H5Handle access_without_locks() {
  H5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(access.get(), false, true);
#endif
  return access;
}

std::string sized_text(ssize_t (*get)(hid_t, std::size_t, char*, std::size_t), hid_t options, std::size_t i) {
  const ssize_t length = get(options, i, nullptr, 0);
  std::string text(length > 0 ? static_cast<std::size_t>(length) + 1 : 1, '\0');
  get(options, i, text.data(), text.size());
  text.pop_back();
  return text;
}

// `shape` is one whose product is known to fit.
std::size_t values_of(Shape shape, std::int64_t rows) {
  if (!shape.empty()) {
    shape[0] = rows;
  }
  std::int64_t product = 0;
  product_of(shape, product);
  return static_cast<std::size_t>(product);
}

// Which rows of the virtual data set a mapping covers; nothing if it is not whole rows.
std::optional<Rows> whole_rows(hid_t space, const Shape& shape) {
  std::vector<hsize_t> low(shape.size()), high(shape.size());
  if (H5Sget_simple_extent_ndims(space) != static_cast<int>(shape.size()) ||
      H5Sget_select_bounds(space, low.data(), high.data()) < 0) {
    return std::nullopt;
  }
  const auto count = static_cast<std::int64_t>(high[0] - low[0] + 1);
  const bool whole = H5Sget_select_npoints(space) == static_cast<hssize_t>(values_of(shape, count));
  return whole ? std::optional(Rows{static_cast<std::int64_t>(low[0]), count}) : std::nullopt;
}

// Exact type or exact widening only.
template <class T>
bool widens_to(hid_t type) {
  const H5T_class_t kind = H5Tget_class(type);
  const std::size_t size = H5Tget_size(type);
  if constexpr (std::is_floating_point_v<T>) {
    return kind == H5T_FLOAT && size <= sizeof(T);
  } else {
    if (kind != H5T_INTEGER) {
      return false;
    }
    const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
    return is_signed == std::is_signed_v<T> ? size <= sizeof(T) : !is_signed && size < sizeof(T);
  }
}

std::string type_text(hid_t type) {
  const std::size_t bits = 8 * H5Tget_size(type);
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      return fmt::format("{}int{}", H5Tget_sign(type) == H5T_SGN_2 ? "" : "u", bits);
    case H5T_FLOAT:
      return fmt::format("float{}", bits);
    case H5T_STRING:
      return H5Tis_variable_str(type) > 0 ? "string" : "fixed-length string";
    default:
      return "another type";
  }
}

}  // namespace

struct H5Reader::File {
  fs::path path;
  H5Handle file;
  std::int64_t size = 0;

  explicit File(const fs::path& path) : path(path) {
    silence_hdf5();
    std::error_code error;
    const auto length = fs::file_size(path, error);
    if (error) {
      fail_data("cannot read '{}': {}", path.string(), error.message());
    }
    size = static_cast<std::int64_t>(length);
    const H5Handle access = access_without_locks();  // closing it after a failure would wipe the reason
    file = {H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose};
    if (!file.ok()) {
      fail_data("'{}' is no readable HDF5 file: {}", path.string(), hdf5_reason());
    }
  }

  template <class... Args>
  [[noreturn]] void fail_set(const std::string& name, fmt::format_string<Args...> format,
                             Args&&... args) const {
    fail_data("'{}': data set '{}': {}", path.string(), name,
              fmt::format(format, std::forward<Args>(args)...));
  }

  H5Handle open(const std::string& name) const {
    silence_hdf5();
    H5Handle dataset(H5Dopen2(file.get(), name.c_str(), H5P_DEFAULT), H5Dclose);
    if (!dataset.ok()) {
      fail_data("'{}': no data set '{}'", path.string(), name);
    }
    return dataset;
  }

  Shape shape(const H5Handle& dataset, const std::string& name) const {
    const H5Handle space(H5Dget_space(dataset.get()), H5Sclose);
    const int rank = H5Sget_simple_extent_ndims(space.get());
    std::vector<hsize_t> dims(rank > 0 ? static_cast<std::size_t>(rank) : 0);
    if (rank < 0 || H5Sget_simple_extent_type(space.get()) == H5S_NULL ||
        H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr) < 0) {
      fail_set(name, "no readable shape");
    }
    Shape shape(dims.begin(), dims.end());
    std::int64_t product = 0;
    if (!product_of(shape, product)) {
      fail_set(name, "shape {} is too large", shape_text(shape));
    }
    return shape;
  }

  bool is_virtual(const H5Handle& dataset) const {
    const H5Handle options(H5Dget_create_plist(dataset.get()), H5Pclose);
    return H5Pget_layout(options.get()) == H5D_VIRTUAL;
  }

  // Nothing is allocated for a length that the file cannot hold, and nothing unwritten is read as zeros.
  void check_stored(const H5Handle& dataset, const std::string& name, std::int64_t values) const {
    const H5Handle type(H5Dget_type(dataset.get()), H5Tclose);
    const H5Handle options(H5Dget_create_plist(dataset.get()), H5Pclose);
    const H5D_layout_t layout = H5Pget_layout(options.get());
    if (layout != H5D_CONTIGUOUS && layout != H5D_COMPACT) {
      fail_set(name, "stored in chunks or elsewhere, expected contiguous (h5repack -l CONTI mends that)");
    }
    std::int64_t bytes = 0;
    const bool fits =
        !__builtin_mul_overflow(values, static_cast<std::int64_t>(H5Tget_size(type.get())), &bytes);
    if (!fits || bytes > size || H5Dget_storage_size(dataset.get()) < static_cast<hsize_t>(bytes)) {
      fail_set(name, "its {} values are not all in the file", values);
    }
  }

  /// -1 in `expected` stands for any length.
  void check_shape(const std::string& name, const Shape& found, const Shape& expected) const {
    const bool fits =
        std::equal(found.begin(), found.end(), expected.begin(), expected.end(),
                   [](std::int64_t length, std::int64_t wanted) { return wanted == -1 || length == wanted; });
    if (!fits) {
      fail_set(name, "expected shape {}, got {}", shape_text(expected), shape_text(found));
    }
  }

  template <class T>
  void check_type(const H5Handle& dataset, const std::string& name) const {
    const H5Handle type(H5Dget_type(dataset.get()), H5Tclose);
    if (!widens_to<T>(type.get())) {
      fail_set(name, "expected {}, got {}", type_name<T>(), type_text(type.get()));
    }
  }

  template <class T>
  void append_stored(const H5Handle& dataset, const std::string& name, const Shape& shape, Rows rows,
                     std::vector<T>& out) const;

  std::vector<StoredPart> parts(const H5Handle& dataset, const std::string& name, const Shape& shape) const;

  template <class T>
  void append_part(const StoredPart& part, const Shape& shape, Rows rows, std::vector<T>& out) const;

  // A data set that has been read from, opened and looked at once: rows are read in many small pieces.
  // `source` is a part's own file.
  struct OpenSet {
    std::unique_ptr<File> source;
    H5Handle dataset;
    Shape shape;
    bool is_virtual = false;
    std::vector<StoredPart> parts;  // of a virtual one
  };
  const OpenSet& opened(const std::string& name) const;
  const OpenSet& opened_part(const StoredPart& part, Shape shape) const;

  template <class T>
  std::vector<T> read(const OpenSet& set, const std::string& name, Rows rows) const;

  mutable std::map<std::string, OpenSet> sets;
  mutable std::map<std::pair<std::string, std::string>, OpenSet> part_sets;  // by file and data set
};

const H5Reader::File::OpenSet& H5Reader::File::opened(const std::string& name) const {
  const auto known = sets.find(name);
  if (known != sets.end()) return known->second;
  OpenSet set{.dataset = open(name)};
  set.shape = shape(set.dataset, name);
  set.is_virtual = is_virtual(set.dataset);
  if (set.is_virtual)
    set.parts = parts(set.dataset, name, set.shape);
  else
    check_stored(set.dataset, name,
                 static_cast<std::int64_t>(values_of(set.shape, set.shape.empty() ? 1 : set.shape[0])));
  return sets.emplace(name, std::move(set)).first->second;
}

// `shape` is that of the virtual data set.
const H5Reader::File::OpenSet& H5Reader::File::opened_part(const StoredPart& part, Shape shape) const {
  const std::pair key(part.file, part.dataset);
  const auto known = part_sets.find(key);
  if (known != part_sets.end()) return known->second;
  if (part_sets.size() >= kOpenParts) part_sets.clear();
  auto source = std::make_unique<File>(path.parent_path() / part.file);
  H5Handle dataset = source->open(part.dataset);
  shape[0] = part.rows.count;
  const Shape found = source->shape(dataset, part.dataset);
  if (found != shape) {
    source->fail_set(part.dataset, "expected shape {}, got {}", shape_text(shape), shape_text(found));
  }
  source->check_stored(dataset, part.dataset, static_cast<std::int64_t>(values_of(shape, shape[0])));
  return part_sets.emplace(key, OpenSet{std::move(source), std::move(dataset), shape}).first->second;
}

// Rows of a data set whose values lie in this very file.
template <class T>
void H5Reader::File::append_stored(const H5Handle& dataset, const std::string& name, const Shape& shape,
                                   Rows rows, std::vector<T>& out) const {
  check_type<T>(dataset, name);
  const std::size_t at = out.size();
  out.resize(at + values_of(shape, rows.count));
  if (out.size() == at) {
    return;
  }
  const H5Handle space(H5Dget_space(dataset.get()), H5Sclose);
  std::vector<hsize_t> count(shape.begin(), shape.end()), start(shape.size(), 0);
  if (!shape.empty()) {
    start[0] = static_cast<hsize_t>(rows.first);
    count[0] = static_cast<hsize_t>(rows.count);
    H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr);
  }
  const H5Handle memory(H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr), H5Sclose);
  note_activity();
  if (H5Dread(dataset.get(), native_type<T>(), memory.get(), space.get(), H5P_DEFAULT, out.data() + at) < 0) {
    fail_set(name, "cannot be read: {}", hdf5_reason());
  }
}

std::vector<StoredPart> H5Reader::File::parts(const H5Handle& dataset, const std::string& name,
                                              const Shape& shape) const {
  const H5Handle options(H5Dget_create_plist(dataset.get()), H5Pclose);
  std::size_t count = 0;
  H5Pget_virtual_count(options.get(), &count);
  std::vector<StoredPart> parts;
  std::int64_t next = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const H5Handle space(H5Pget_virtual_vspace(options.get(), i), H5Sclose);
    const auto rows = whole_rows(space.get(), shape);
    if (!rows || rows->first != next) {
      fail_set(name, "its parts do not follow each other in whole rows");
    }
    next += rows->count;
    parts.push_back({sized_text(H5Pget_virtual_filename, options.get(), i),
                     sized_text(H5Pget_virtual_dsetname, options.get(), i), *rows});
  }
  if (shape.empty() || next != shape[0]) {
    fail_set(name, "its parts hold {} rows, expected shape {}", next, shape_text(shape));
  }
  return parts;
}

// `shape` is that of the whole, `rows` are wanted of it; those of this part are added.
template <class T>
void H5Reader::File::append_part(const StoredPart& part, const Shape& shape, Rows rows,
                                 std::vector<T>& out) const {
  const std::int64_t first = std::max(rows.first, part.rows.first);
  const std::int64_t end = std::min(rows.first + rows.count, part.rows.first + part.rows.count);
  if (first >= end) {
    return;
  }
  const OpenSet& set = opened_part(part, shape);
  set.source->append_stored(set.dataset, part.dataset, set.shape, {first - part.rows.first, end - first},
                            out);
}

// Virtual data sets are put together here and not by HDF5, which takes a part that is missing, or that it
// cannot open because too many files are, for one of fill values.
template <class T>
std::vector<T> H5Reader::File::read(const OpenSet& set, const std::string& name, Rows rows) const {
  std::vector<T> out;
  if (!set.is_virtual) {
    append_stored(set.dataset, name, set.shape, rows, out);
    return out;
  }
  check_type<T>(set.dataset, name);
  for (const StoredPart& part : set.parts) {
    append_part(part, set.shape, rows, out);
  }
  return out;
}

H5Reader::H5Reader(const std::filesystem::path& path) : file_(std::make_unique<File>(path)) {
}
H5Reader::~H5Reader() = default;
H5Reader::H5Reader(H5Reader&&) noexcept = default;

bool H5Reader::has(const std::string& name) const {
  silence_hdf5();
  return H5Handle(H5Dopen2(file_->file.get(), name.c_str(), H5P_DEFAULT), H5Dclose).ok();
}

Shape H5Reader::shape(const std::string& name) const {
  return file_->shape(file_->open(name), name);
}

template <class T>
std::vector<T> H5Reader::read(const std::string& name) const {
  const File::OpenSet& set = file_->opened(name);
  return file_->read<T>(set, name, {0, set.shape.empty() ? 1 : set.shape[0]});
}

template <class T>
std::vector<T> H5Reader::read(const std::string& name, const Shape& expected) const {
  file_->check_shape(name, shape(name), expected);
  return read<T>(name);
}

template <class T>
std::vector<T> H5Reader::read_rows(const std::string& name, std::int64_t first, std::int64_t count) const {
  const File::OpenSet& set = file_->opened(name);
  const Shape& shape = set.shape;
  if (shape.empty() || first < 0 || count < 0 || first > shape[0] || count > shape[0] - first) {
    file_->fail_set(name, "no {} rows at row {}: its shape is {}", count, first, shape_text(shape));
  }
  return file_->read<T>(set, name, {first, count});
}

std::vector<VirtualPart> H5Reader::parts(const std::string& name) const {
  const H5Handle dataset = file_->open(name);
  std::vector<VirtualPart> parts;
  if (!file_->is_virtual(dataset)) {
    return parts;
  }
  for (const StoredPart& part : file_->parts(dataset, name, file_->shape(dataset, name))) {
    parts.push_back({part.file, part.dataset, part.rows.first, part.rows.count});
  }
  return parts;
}

std::vector<std::string> H5Reader::read_strings(const std::string& name, const Shape& expected) const {
  file_->check_shape(name, shape(name), expected);
  return read_strings(name);
}

std::vector<std::string> H5Reader::read_strings(const std::string& name) const {
  const H5Handle dataset = file_->open(name);
  const H5Handle stored(H5Dget_type(dataset.get()), H5Tclose);
  if (H5Tget_class(stored.get()) != H5T_STRING || H5Tis_variable_str(stored.get()) <= 0) {
    file_->fail_set(name, "expected string, got {}", type_text(stored.get()));
  }
  std::int64_t values = 0;
  product_of(file_->shape(dataset, name), values);
  file_->check_stored(dataset, name, values);
  std::vector<char*> pointers(static_cast<std::size_t>(values), nullptr);
  const H5Handle type = string_type();
  H5Tset_cset(type.get(), H5Tget_cset(stored.get()));
  if (values != 0 && H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()) < 0) {
    file_->fail_set(name, "cannot be read: {}", hdf5_reason());
  }
  std::vector<std::string> texts;
  for (const char* pointer : pointers) {
    texts.emplace_back(pointer == nullptr ? "" : pointer);
  }
  const H5Handle space(H5Dget_space(dataset.get()), H5Sclose);
  if (values != 0) {
    H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, pointers.data());
  }
  return texts;
}

std::string H5Reader::attribute(const std::string& name) const {
  silence_hdf5();
  if (H5Aexists(file_->file.get(), name.c_str()) <= 0) {
    return "";
  }
  const H5Handle attribute(H5Aopen(file_->file.get(), name.c_str(), H5P_DEFAULT), H5Aclose);
  const H5Handle stored(H5Aget_type(attribute.get()), H5Tclose);
  const H5Handle space(H5Aget_space(attribute.get()), H5Sclose);
  const H5Handle type = string_type();
  H5Tset_cset(type.get(), H5Tget_cset(stored.get()));
  char* text = nullptr;
  if (H5Tis_variable_str(stored.get()) <= 0 || H5Sget_simple_extent_npoints(space.get()) != 1 ||
      H5Aread(attribute.get(), type.get(), &text) < 0) {
    fail_data("'{}': attribute '{}': expected one string", file_->path.string(), name);
  }
  std::string value = text == nullptr ? "" : text;
  H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, &text);
  return value;
}

#define ROCKET_INSTANTIATE(T)                                                        \
  template std::vector<T> H5Reader::read<T>(const std::string&) const;               \
  template std::vector<T> H5Reader::read<T>(const std::string&, const Shape&) const; \
  template std::vector<T> H5Reader::read_rows<T>(const std::string&, std::int64_t, std::int64_t) const;
ROCKET_INSTANTIATE(float)
ROCKET_INSTANTIATE(double)
ROCKET_INSTANTIATE(std::int32_t)
ROCKET_INSTANTIATE(std::int64_t)
ROCKET_INSTANTIATE(std::uint8_t)
#undef ROCKET_INSTANTIATE

}  // namespace rocket
