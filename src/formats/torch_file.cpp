#include "formats/torch_file.h"

#include <array>
#include <cstring>
#include <map>
#include <optional>

#include "base/error.h"
#include "formats/file_kind.h"
#include "formats/json_reader.h"
#include "formats/pickle.h"
#include "formats/zip_archive.h"

namespace rocket {
namespace {

using Kind = PickleValue::Kind;
using Bytes = std::span<const std::byte>;

constexpr std::string_view kTensor = "torch._utils _rebuild_tensor_v2";
constexpr std::string_view kParameter = "torch._utils _rebuild_parameter";
constexpr std::pair<std::string_view, DType> kStorages[] = {
    {"torch DoubleStorage", DType::f64}, {"torch FloatStorage", DType::f32},
    {"torch HalfStorage", DType::f16},   {"torch BFloat16Storage", DType::bf16},
    {"torch LongStorage", DType::i64},   {"torch IntStorage", DType::i32},
    {"torch ShortStorage", DType::i16},  {"torch CharStorage", DType::i8},
    {"torch ByteStorage", DType::u8},    {"torch BoolStorage", DType::boolean}};

constexpr std::array kGlobals = [] {
  std::array<std::string_view, std::size(kStorages) + 2> names{kTensor, kParameter};
  for (std::size_t i = 0; i < std::size(kStorages); ++i) names[i + 2] = kStorages[i].first;
  return names;
}();

constexpr std::string_view kData = "data.pkl";
constexpr std::array kOldMagic = {std::byte{0x80}, std::byte{0x02}, std::byte{0x8a}, std::byte{0x0a}};
// Views are copied; more than this many times the file is an attack, not a model.
constexpr std::uint64_t kMaxCopies = 4;

/// The archive's entries without the folder that all of them lie in, whose name is free.
using Entries = std::map<std::string, Bytes>;

void refuse_old_form(Bytes bytes, const std::string& file) {
  if (bytes.size() < kOldMagic.size() || std::memcmp(bytes.data(), kOldMagic.data(), kOldMagic.size()) != 0)
    return;
  fail_data(
      "{}: this is the form of torch.save before PyTorch 1.6, which is not read; convert it with a newer "
      "one: "
      "torch.save(torch.load(f, weights_only=True), f), or save the tensors as safetensors",
      file);
}

Entries open_archive(Bytes bytes, const std::string& file) {
  refuse_old_form(bytes, file);
  if (bytes.empty()) fail_data("{}: an empty file, expected one of torch.save", file);
  const std::string_view front(reinterpret_cast<const char*>(bytes.data()),
                               std::min(bytes.size(), kKindBytes));
  if (!front.starts_with("PK")) refuse_other_kinds(front, file, "a file of torch.save");
  const std::vector<ZipEntry> all = read_zip(bytes, file);
  std::optional<std::string> folder;
  for (const ZipEntry& entry : all) {
    const std::size_t slash = entry.name.find('/');
    if (slash == std::string::npos || entry.name.substr(slash + 1) != kData) continue;
    if (folder) fail_data("{}: it holds more than one {}", file, kData);
    folder = entry.name.substr(0, slash + 1);
  }
  if (!folder) fail_data("{}: no file of torch.save: it holds no <folder>/{}", file, kData);
  Entries entries;
  for (const ZipEntry& entry : all)
    if (entry.name.starts_with(*folder)) entries.emplace(entry.name.substr(folder->size()), entry.bytes);
  return entries;
}

void check_byte_order(const Entries& entries, const std::string& file) {
  const auto found = entries.find("byteorder");
  if (found == entries.end()) return;  // before PyTorch 2.1: little
  const std::string order(reinterpret_cast<const char*>(found->second.data()), found->second.size());
  if (order != "little")
    fail_data("{}: byteorder: expected little, got {}", file, shown(nlohmann::json(order)));
}

struct Storage {
  DType dtype = DType::f32;
  Bytes bytes;
  std::uint64_t elements() const { return bytes.size() / static_cast<std::uint64_t>(size_of(dtype)); }
};

/// A view as the pickle describes it.
struct View {
  Storage storage;
  std::uint64_t offset = 0;
  std::vector<std::int64_t> shape, strides;
};

/// What the calls of a pickle mean; `place` is "<file>: tensor 'x'".
class Views {
 public:
  Views(const Entries& entries, std::string place) : entries_(entries), place_(std::move(place)) {}

  View view(const PickleValue* value) const {
    while (value->kind == Kind::call && value->text == kParameter) value = &argument(*value, 0, 3);
    if (value->kind != Kind::call || value->text != kTensor)
      fail_data("{}: expected a tensor, got {}", place_, name_of(*value));
    View view{storage(argument(*value, 0, 6)), whole(argument(*value, 1, 6), "its offset"),
              wholes(argument(*value, 2, 6), "its shape"), wholes(argument(*value, 3, 6), "its strides")};
    if (view.shape.size() != view.strides.size())
      fail_data("{}: {} sides and {} strides", place_, view.shape.size(), view.strides.size());
    return view;
  }

 private:
  const PickleValue& argument(const PickleValue& call, std::size_t i, std::size_t at_least) const {
    if (call.items.size() < at_least)
      fail_data("{}: {} with {} arguments, expected {}", place_, call.text, call.items.size(), at_least);
    return *call.items[i];
  }
  std::uint64_t whole(const PickleValue& value, const char* what) const {
    if (value.kind != Kind::integer || value.integer < 0)
      fail_data("{}: {}: expected a whole number from 0, got {}", place_, what,
                value.kind == Kind::integer ? std::to_string(value.integer) : name_of(value));
    return static_cast<std::uint64_t>(value.integer);
  }
  std::vector<std::int64_t> wholes(const PickleValue& value, const char* what) const {
    if (value.kind != Kind::tuple)
      fail_data("{}: {}: expected a tuple, got {}", place_, what, name_of(value));
    std::vector<std::int64_t> numbers;
    for (const PickleValue* one : value.items)
      numbers.push_back(static_cast<std::int64_t>(whole(*one, what)));
    return numbers;
  }
  DType dtype(const PickleValue& value) const {
    for (const auto& [name, dtype] : kStorages)
      if (value.kind == Kind::global && value.text == name) return dtype;
    fail_data("{}: expected the type of a storage, got {}", place_, name_of(value));
  }
  /// ('storage', type, entry, device, elements)
  Storage storage(const PickleValue& value) const {
    const bool named = value.kind == Kind::persistent && value.items[0]->kind == Kind::tuple &&
                       value.items[0]->items.size() == 5 && value.items[0]->items[0]->text == "storage" &&
                       value.items[0]->items[2]->kind == Kind::text;
    if (!named) fail_data("{}: expected a storage, got {}", place_, name_of(value));
    const auto& id = value.items[0]->items;
    const auto found = entries_.find("data/" + id[2]->text);
    if (found == entries_.end())
      fail_data("{}: its storage 'data/{}' is not in the archive", place_, id[2]->text);
    const Storage storage{dtype(*id[1]), found->second};
    const std::uint64_t elements = whole(*id[4], "the length of its storage");
    if (elements != storage.elements() ||
        storage.bytes.size() % static_cast<std::uint64_t>(size_of(storage.dtype)) != 0)
      fail_data("{}: its storage 'data/{}' of {} values of {} has {} bytes", place_, id[2]->text, elements,
                name_of(storage.dtype), storage.bytes.size());
    return storage;
  }

  const Entries& entries_;
  std::string place_;
};

/// The place behind the last element of a view in its storage; nothing where it does not fit a number.
std::optional<std::uint64_t> end_of(const View& view) {
  std::uint64_t last = view.offset;
  for (std::size_t i = 0; i < view.shape.size(); ++i) {
    if (view.shape[i] == 0) return view.offset;
    std::uint64_t span;
    if (__builtin_mul_overflow(static_cast<std::uint64_t>(view.shape[i] - 1),
                               static_cast<std::uint64_t>(view.strides[i]), &span) ||
        __builtin_add_overflow(last, span, &last))
      return std::nullopt;
  }
  return last + 1;
}

bool is_in_order(const View& view) {
  std::int64_t expected = 1;
  for (std::size_t i = view.shape.size(); i-- > 0;) {
    if (view.shape[i] != 1 && view.strides[i] != expected) return false;
    expected *= view.shape[i];
  }
  return true;
}

/// The elements of a view one after the other.
std::vector<std::byte> in_order(const View& view, std::uint64_t length) {
  const auto size = static_cast<std::size_t>(size_of(view.storage.dtype));
  std::vector<std::byte> copy(length);
  std::vector<std::int64_t> index(view.shape.size(), 0);
  std::uint64_t from = view.offset;
  for (std::size_t to = 0; to < copy.size(); to += size) {
    std::memcpy(&copy[to], &view.storage.bytes[from * size], size);
    for (std::size_t i = index.size(); i-- > 0;) {
      from += static_cast<std::uint64_t>(view.strides[i]);
      if (++index[i] < view.shape[i]) break;
      from -= static_cast<std::uint64_t>(view.strides[i]) * static_cast<std::uint64_t>(view.shape[i]);
      index[i] = 0;
    }
  }
  return copy;
}

/// How many bytes the tensor needs, once it is known to lie inside its storage.
std::uint64_t check_view(const View& view, const std::string& place) {
  const auto length = bytes_of(view.storage.dtype, view.shape);
  if (!length) fail_data("{}: its shape has more elements than a file can hold", place);
  const auto end = end_of(view);
  if (!end || *end > view.storage.elements())
    fail_data("{}: it reaches beyond its storage of {} values", place, view.storage.elements());
  return *length;
}

}  // namespace

TorchFile::TorchFile(const std::filesystem::path& path) : TensorFile(path) {
  const std::string file = path.string();
  const Entries entries = open_archive(map(), file);
  check_byte_order(entries, file);
  const Pickle pickle(entries.at(std::string(kData)), kGlobals, fmt::format("{}: {}", file, kData));
  const PickleValue& root = pickle.root();
  if (root.kind != Kind::dict) fail_data("{}: expected a dict of tensors, got {}", file, name_of(root));
  std::uint64_t copied = 0;
  for (std::size_t i = 0; i < root.items.size(); i += 2) {
    const PickleValue& key = *root.items[i];
    if (key.kind != Kind::text) fail_data("{}: expected the name of a tensor, got {}", file, name_of(key));
    const std::string place = fmt::format("{}: tensor '{}'", file, key.text);
    const View view = Views(entries, place).view(root.items[i + 1]);
    const std::uint64_t length = check_view(view, place);
    StoredTensor tensor{key.text, view.storage.dtype, view.shape, {}};
    if (length > 0 && is_in_order(view)) {
      tensor.bytes = view.storage.bytes.subspan(
          view.offset * static_cast<std::uint64_t>(size_of(view.storage.dtype)), length);
    } else if (length > 0) {
      if (length > kMaxCopies * map().size() - copied)
        fail_data("{}: the views of this file hold more than {} times its bytes", place, kMaxCopies);
      copied += length;
      tensor.bytes = copies_.emplace_back(in_order(view, length));
    }
    if (!add(std::move(tensor))) fail_data("{}: it is there twice", place);
  }
}

}  // namespace rocket
