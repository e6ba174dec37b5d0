// Fuzz targets of torch.save files: the archive, and the pickle inside a good archive.
#pragma once

#include "formats/torch_file.h"
#include "fuzz/formats_targets.h"
#include "fuzz/zip_writer.h"

namespace rocket::fuzz {

inline void torch_file(std::string_view bytes) {
  read_as_file("x.bin", bytes,
               [](const std::filesystem::path& folder) { check_tensors(TorchFile(folder / "x.bin")); });
}

inline void pickle(std::string_view bytes) {
  torch_file(torch_file_of(bytes));
}

}  // namespace rocket::fuzz
