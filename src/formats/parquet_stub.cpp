// Stands in for parquet_arrow.cpp and arrow_ipc.cpp where Arrow is absent.
#include "base/error.h"
#include "formats/parquet.h"

namespace rocket {

namespace {

[[noreturn]] void refuse(const std::filesystem::path& file, const char* form) {
  fail_data(
      "{}: reading {} is not built into this program: build it with `tools/build --parquet` (Apache Arrow), "
      "or convert the file to JSONL",
      file.string(), form);
}

}  // namespace

bool has_parquet() {
  return false;
}

std::unique_ptr<ValueReader> open_parquet(const std::filesystem::path& file,
                                          const std::vector<std::string>&) {
  refuse(file, "Parquet");
}

std::unique_ptr<ValueReader> open_arrow(const std::filesystem::path& file, const std::vector<std::string>&) {
  refuse(file, "Arrow files");
}

}  // namespace rocket
