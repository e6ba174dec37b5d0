#include "formats/tensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <optional>

#include "base/bytes.h"
#include "base/error.h"
#include "formats/file_kind.h"
#include "formats/json_reader.h"
#include "formats/text_tower.h"

namespace rocket {
namespace {

using nlohmann::json;

struct DTypeInfo {
  DType dtype;
  std::int64_t size;
  const char* name;
};

constexpr std::array<DTypeInfo, 10> kDTypes{{{DType::f64, 8, "F64"},
                                             {DType::f32, 4, "F32"},
                                             {DType::f16, 2, "F16"},
                                             {DType::bf16, 2, "BF16"},
                                             {DType::i64, 8, "I64"},
                                             {DType::i32, 4, "I32"},
                                             {DType::i16, 2, "I16"},
                                             {DType::i8, 1, "I8"},
                                             {DType::u8, 1, "U8"},
                                             {DType::boolean, 1, "BOOL"}}};

constexpr std::uint64_t kMaxHeader = 100'000'000;  // as the safetensors library
constexpr std::size_t kLengthBytes = 8;

const DTypeInfo& info_of(DType dtype) {
  return *std::find_if(kDTypes.begin(), kDTypes.end(), [&](const auto& d) { return d.dtype == dtype; });
}

std::optional<std::uint64_t> as_offset(const json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  return value.get<std::uint64_t>();
}

/// One entry of the header; `begin` and `end` count from the start of the data.
struct Entry {
  StoredTensor tensor;
  std::uint64_t begin = 0, end = 0;
};

DType dtype_of(const json& value, const std::string& place) {
  if (!value.is_string()) fail_data("{}: 'dtype': expected a string, got {}", place, shown(value));
  const auto& name = value.get_ref<const std::string&>();
  for (const DTypeInfo& known : kDTypes)
    if (name == known.name) return known.dtype;
  fail_data("{}: dtype '{}' is not supported (known: F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL)", place, name);
}

std::vector<std::int64_t> shape_of(const json& value, const std::string& place) {
  if (!value.is_array()) fail_data("{}: 'shape': expected a list, got {}", place, shown(value));
  std::vector<std::int64_t> shape;
  for (const json& side : value) {
    const auto n = as_offset(side);
    if (!n || *n > static_cast<std::uint64_t>(INT64_MAX))
      fail_data("{}: 'shape': expected whole numbers from 0, got {}", place, shown(value));
    shape.push_back(static_cast<std::int64_t>(*n));
  }
  return shape;
}

void check_length(const Entry& entry, const std::string& place) {
  const auto bytes = bytes_of(entry.tensor.dtype, entry.tensor.shape);
  if (!bytes) fail_data("{}: its shape has more elements than a file can hold", place);
  if (*bytes != entry.end - entry.begin)
    fail_data("{}: its shape and dtype need {} bytes, its offsets span {}", place, *bytes,
              entry.end - entry.begin);
}

const json& member(const json& object, const char* key, const std::string& place) {
  const auto it = object.find(key);
  if (it == object.end()) fail_data("{}: '{}' is missing", place, key);
  return *it;
}

Entry entry_of(const std::string& name, const json& value, const std::string& file) {
  const std::string place = fmt::format("{}: tensor '{}'", file, name);
  if (!value.is_object()) fail_data("{}: expected an object, got {}", place, shown(value));
  Entry entry;
  entry.tensor.name = name;
  entry.tensor.dtype = dtype_of(member(value, "dtype", place), place);
  entry.tensor.shape = shape_of(member(value, "shape", place), place);
  const json& offsets = member(value, "data_offsets", place);
  const bool pair = offsets.is_array() && offsets.size() == 2;
  const auto begin = pair ? as_offset(offsets[0]) : std::nullopt;
  const auto end = pair ? as_offset(offsets[1]) : std::nullopt;
  if (!begin || !end || *begin > *end)
    fail_data("{}: 'data_offsets': expected [begin, end], got {}", place, shown(offsets));
  entry.begin = *begin;
  entry.end = *end;
  check_length(entry, place);
  return entry;
}

/// The format demands that the tensors tile the data: no gap, no overlap, nothing behind the last.
void check_tiling(const std::vector<Entry>& sorted, std::uint64_t data_bytes, const std::string& file) {
  std::uint64_t at = 0;
  for (const Entry& entry : sorted) {
    if (entry.begin != at)
      fail_data("{}: tensor '{}': expected its data at {}, its offsets say {} ({})", file, entry.tensor.name,
                at, entry.begin, entry.begin > at ? "a gap" : "an overlap");
    if (entry.end > data_bytes)
      fail_data("{}: tensor '{}': its data end at byte {} of {}: the file is cut short", file,
                entry.tensor.name, entry.end, data_bytes);
    at = entry.end;
  }
  if (at != data_bytes) fail_data("{}: {} bytes behind the last tensor", file, data_bytes - at);
}

std::map<std::string, std::string> metadata_of(const json& value, const std::string& file) {
  std::map<std::string, std::string> metadata;
  if (!value.is_object()) fail_data("{}: '__metadata__': expected an object, got {}", file, shown(value));
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) fail_data("{}: '__metadata__': '{}': expected a string", file, key);
    metadata.emplace(key, text.get<std::string>());
  }
  return metadata;
}

std::string_view header_text(std::span<const std::byte> bytes, const std::string& file) {
  refuse_other_kinds({reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), kKindBytes)}, file,
                     "safetensors", "a safetensors");
  if (bytes.size() < kLengthBytes)
    fail_data("{}: {}", file,
              bytes.empty() ? "an empty file, expected safetensors"
                            : fmt::format("{} bytes are no safetensors file", bytes.size()));
  const std::uint64_t length = little_endian(bytes.first(kLengthBytes));
  if (length > kMaxHeader)
    fail_data("{}: header of {} bytes; the format allows {}", file, length, kMaxHeader);
  if (length > bytes.size() - kLengthBytes)
    fail_data("{}: header of {} bytes in a file of {}: the file is cut short", file, length, bytes.size());
  return {reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, static_cast<std::size_t>(length)};
}

json parse_header(std::string_view text, const std::string& file) {
  if (text.empty() || text.front() != '{') fail_data("{}: the header must begin with '{{'", file);
  return parse_json(text, file + ": header");
}

std::string join_shape(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace

std::int64_t size_of(DType dtype) {
  return info_of(dtype).size;
}

std::string name_of(DType dtype) {
  return info_of(dtype).name;
}

std::optional<std::uint64_t> bytes_of(DType dtype, std::span<const std::int64_t> shape) {
  std::int64_t bytes = size_of(dtype);
  for (const std::int64_t side : shape)
    if (__builtin_mul_overflow(bytes, side, &bytes)) return std::nullopt;
  return static_cast<std::uint64_t>(bytes);
}

bool TensorFile::add(StoredTensor tensor) {
  if (!index_.emplace(tensor.name, tensors_.size()).second) return false;
  tensors_.push_back(std::move(tensor));
  return true;
}

const StoredTensor* TensorFile::find(const std::string& name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

SafeTensors::SafeTensors(const std::filesystem::path& path) : TensorFile(path) {
  const std::string file = path.string();
  const std::string_view text = header_text(map(), file);
  const auto data = map().subspan(kLengthBytes + text.size());
  const json header = parse_header(text, file);
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      metadata_ = metadata_of(value, file);
    } else {
      entries.push_back(entry_of(name, value, file));
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  check_tiling(entries, data.size(), file);
  for (Entry& entry : entries) {
    entry.tensor.bytes = data.subspan(entry.begin, entry.end - entry.begin);
    add(std::move(entry.tensor));  // one of each name: parse_header has seen to it
  }
}

namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

bool is_plain_name(const std::string& name) {
  const std::filesystem::path path(name);
  return !name.empty() && name.find('\0') == std::string::npos && path.filename() == path && name != "." &&
         name != "..";
}

/// tensor -> shard, as the index says.
std::map<std::string, std::string> read_weight_map(const std::filesystem::path& file) {
  const std::string place = file.string();
  const json index = parse_json(read_file(file), place);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (!index.is_object() || map == index.end() || !map->is_object() || map->empty())
    fail_data("{}: key 'weight_map': expected an object that names the file of each tensor", place);
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string() || !is_plain_name(shard.get<std::string>()))
      fail_data("{}: weight_map: tensor '{}': expected the name of a file in the same folder, got {}", place,
                tensor, shown(shard));
    shards.emplace(tensor, shard.get<std::string>());
  }
  return shards;
}

}  // namespace

ModelWeights::ModelWeights(const std::filesystem::path& folder) : folder_(folder) {
  std::error_code unreadable;  // then reading says why
  if (std::filesystem::exists(folder / kSingle, unreadable)) {
    files_.emplace_back(folder / kSingle);
    for (const StoredTensor& tensor : files_.front().tensors()) index_.emplace(tensor.name, &tensor);
    name_as_with_head();
    name_text_tower();
    return;
  }
  if (!std::filesystem::exists(folder / kIndex, unreadable)) {
    for (const char* pickled : {"pytorch_model.bin", "pytorch_model.bin.index.json"})
      if (std::filesystem::exists(folder / pickled, unreadable))
        fail_data(
            "{}: its weights are in {}, of models only safetensors are read; save it again with "
            "transformers: model.save_pretrained(folder, safe_serialization=True)",
            folder.string(), pickled);
    fail_data("{}: no weights: neither {} nor {}", folder.string(), kSingle, kIndex);
  }
  read_shards(folder / kIndex);
  name_as_with_head();
  name_text_tower();
}

void ModelWeights::name_as_with_head() {
  const bool neox = find("embed_in.weight") != nullptr;
  if (!neox && !find("embed_tokens.weight")) return;
  std::unordered_map<std::string, const StoredTensor*> named;
  for (const auto& [name, tensor] : index_)
    named.emplace(name.starts_with("lm_head.") ? name : (neox ? "gpt_neox." : "model.") + name, tensor);
  index_ = std::move(named);
}

void ModelWeights::name_text_tower() {
  const auto is_of_one = [](const auto& entry) {
    return entry.first.starts_with("language_model.model.") || entry.first.starts_with("visual.");
  };
  if (std::none_of(index_.begin(), index_.end(), is_of_one)) return;
  std::unordered_map<std::string, const StoredTensor*> named;
  for (const auto& [name, tensor] : index_) named.emplace(name_in_text_tower(name), tensor);
  index_ = std::move(named);
}

void ModelWeights::read_shards(const std::filesystem::path& index) {
  const auto shards = read_weight_map(index);
  std::map<std::string, std::size_t> opened;
  for (const auto& [tensor, shard] : shards)
    if (opened.emplace(shard, files_.size()).second) files_.emplace_back(folder_ / shard);
  for (const auto& [tensor, shard] : shards) {
    const StoredTensor* found = files_[opened.at(shard)].find(tensor);
    if (!found) fail_data("{}: weight_map: tensor '{}' is not in {}", index.string(), tensor, shard);
    index_.emplace(tensor, found);
  }
}

std::int64_t ModelWeights::parameters() const {
  std::int64_t total = 0;
  for (const auto& [name, tensor] : index_)
    total += static_cast<std::int64_t>(tensor->bytes.size()) / size_of(tensor->dtype);
  return total;
}

const StoredTensor* ModelWeights::find(const std::string& name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : it->second;
}

const std::filesystem::path& ModelWeights::path_of(const std::string& name) const {
  const StoredTensor* stored = find(name);
  const auto holds = [&](const SafeTensors& file) {
    return stored != nullptr && file.find(stored->name) == stored;
  };
  const auto file = std::find_if(files_.begin(), files_.end(), holds);
  return file == files_.end() ? folder_ : file->path();
}

const StoredTensor& ModelWeights::at(const std::string& name, std::span<const std::int64_t> shape) const {
  const StoredTensor* found = find(name);
  if (!found) fail_data("{}: tensor '{}' is missing", folder_.string(), name);
  if (!std::equal(shape.begin(), shape.end(), found->shape.begin(), found->shape.end()))
    fail_data("{}: tensor '{}': expected {}, got {}", folder_.string(), name, join_shape(shape),
              join_shape(found->shape));
  return *found;
}

std::vector<std::string> ModelWeights::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : index_) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

namespace {

/// JSON header with the offsets of the tensors laid end to end, padded so that the data start aligned.
std::string make_header(std::span<const StoredTensor> tensors,
                        const std::map<std::string, std::string>& metadata, const std::string& file) {
  nlohmann::ordered_json header;
  auto& meta = header["__metadata__"] = {{"format", "pt"}};
  for (const auto& [key, value] : metadata) meta[key] = value;
  std::string text = header.dump();
  text.pop_back();  // entries are appended one by one: ordered_json looks keys up linearly
  std::unordered_map<std::string, bool> seen;
  std::uint64_t at = 0;
  for (const StoredTensor& tensor : tensors) {
    if (tensor.name == "__metadata__" || !seen.emplace(tensor.name, true).second)
      fail_internal("{}: tensor name '{}' cannot be written twice", file, tensor.name);
    Entry entry{tensor, at, at + tensor.bytes.size()};
    check_length(entry, fmt::format("{}: tensor '{}'", file, tensor.name));
    const json value = {{"dtype", name_of(tensor.dtype)},
                        {"shape", tensor.shape},
                        {"data_offsets", {entry.begin, entry.end}}};
    text += fmt::format(",{}:{}", json(tensor.name).dump(), value.dump());
    at = entry.end;
  }
  text += "}";
  text.resize((text.size() + kLengthBytes - 1) / kLengthBytes * kLengthBytes, ' ');
  return text;
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::span<const StoredTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::string header = make_header(tensors, metadata, path.string());
  std::array<char, kLengthBytes> length;
  for (std::size_t i = 0; i < kLengthBytes; ++i) length[i] = static_cast<char>(header.size() >> (8 * i));
  PendingFile pending(path);
  std::ofstream out(pending.temporary(), std::ios::binary);
  out.write(length.data(), length.size());
  out.write(header.data(), static_cast<std::streamsize>(header.size()));
  for (const StoredTensor& tensor : tensors)
    out.write(reinterpret_cast<const char*>(tensor.bytes.data()),
              static_cast<std::streamsize>(tensor.bytes.size()));
  out.close();
  if (!out) fail_storage("{}: cannot write it (is the disk full?)", path.string());
  pending.commit();
}

}  // namespace rocket
