// Fuzz targets of torch.save files: the archive, and the pickle inside a good archive.
#pragma once

#include "base/hash.h"
#include "formats/torch_file.h"
#include "fuzz/reader_target.h"
#include "fuzz/zip_writer.h"

namespace rocket::fuzz {

inline void torch_file(std::string_view bytes) {
  read_as_file("x.bin", bytes, [](const std::filesystem::path& folder) {
    const TorchFile file(folder / "x.bin");
    Hasher all;  // reads every byte, so that one outside the map is seen
    for (const StoredTensor& tensor : file.tensors()) {
      std::int64_t expected = size_of(tensor.dtype);
      for (const std::int64_t side : tensor.shape) expected *= side;
      require(expected == static_cast<std::int64_t>(tensor.bytes.size()));
      all.add(tensor.bytes);
      require(file.find(tensor.name) == &tensor);
    }
    require(!all.hex().empty());
  });
}

inline void pickle(std::string_view bytes) {
  torch_file(torch_file_of(bytes));
}

}  // namespace rocket::fuzz
