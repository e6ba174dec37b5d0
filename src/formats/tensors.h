// Stored tensors: files of tensors, read through a memory map and validated before a byte is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/files.h"

namespace rocket {

enum class DType { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

std::int64_t size_of(DType dtype);
/// The name used by safetensors: "F32", "BF16", ...
std::string name_of(DType dtype);

/// A tensor in a file; `bytes` points into the map, which lives as long as the file object. They need not be
/// aligned to the dtype: the format does not promise it.
struct StoredTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};

/// Bytes of a tensor; nothing where they are more than a file can hold.
std::optional<std::uint64_t> bytes_of(DType dtype, std::span<const std::int64_t> shape);

/// A file of tensors, whatever its form. May be moved; pointers and references that it returned stay valid.
class TensorFile {
 public:
  virtual ~TensorFile() = default;
  TensorFile(TensorFile&&) = default;
  const std::filesystem::path& path() const { return path_; }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  /// nullptr if absent.
  const StoredTensor* find(const std::string& name) const;
  /// See MappedFile.
  void forget_pages() const { file_.forget_pages(); }

 protected:
  /// Throws data (65) if the file cannot be opened.
  explicit TensorFile(const std::filesystem::path& path) : path_(path), file_(path) {}
  std::span<const std::byte> map() const { return file_.bytes(); }
  /// False if there is one of this name.
  bool add(StoredTensor tensor);

 private:
  std::filesystem::path path_;
  MappedFile file_;
  std::vector<StoredTensor> tensors_;
  std::unordered_map<std::string, std::size_t> index_;
};

/// One .safetensors file. Format: https://github.com/huggingface/safetensors (8-byte length, JSON header,
/// data).
class SafeTensors : public TensorFile {
 public:
  /// Throws data (65): header too long or no JSON, unknown dtype, offsets that overlap, leave gaps, lie
  /// outside the file or do not fit the shape, duplicate names.
  explicit SafeTensors(const std::filesystem::path& path);
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  std::map<std::string, std::string> metadata_;
};

/// The weights of a model folder: model.safetensors, or the shards that model.safetensors.index.json names.
/// Of a decoder that was saved without its head (LlamaModel) the names have the "model." in front that they
/// would have with it. Of a model that reads images, too, the names are those of formats/text_tower.h.
/// May be moved; pointers and references that it returned stay valid.
class ModelWeights {
 public:
  /// Throws data (65): no weights, an index that names a file outside the folder or a tensor that its file
  /// lacks.
  explicit ModelWeights(const std::filesystem::path& folder);
  const StoredTensor* find(const std::string& name) const;
  /// Throws data (65) naming folder and tensor if absent or of another shape.
  const StoredTensor& at(const std::string& name, std::span<const std::int64_t> shape) const;
  /// The file that holds a tensor; the folder if none does.
  const std::filesystem::path& path_of(const std::string& name) const;
  /// Number of elements of all tensors.
  std::int64_t parameters() const;
  /// All names, sorted.
  std::vector<std::string> names() const;

 private:
  void read_shards(const std::filesystem::path& index);
  void name_as_with_head();
  void name_text_tower();

  std::filesystem::path folder_;
  std::vector<SafeTensors> files_;
  std::unordered_map<std::string, const StoredTensor*> index_;
};

/// Commits a .safetensors file (tensors in the order given, metadata {"format": "pt"} plus `metadata`).
void write_safetensors(const std::filesystem::path& path, std::span<const StoredTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace rocket
