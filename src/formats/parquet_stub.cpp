// Stands in for parquet_arrow.cpp where Arrow is absent.
#include "base/error.h"
#include "formats/parquet.h"

namespace rocket {

bool has_parquet() {
  return false;
}

std::unique_ptr<ValueReader> open_parquet(const std::filesystem::path& file,
                                          const std::vector<std::string>&) {
  fail_data(
      "{}: reading Parquet is not built into this program: build it with `tools/build --parquet` (Apache "
      "Arrow), "
      "or convert the file to JSONL",
      file.string());
}

}  // namespace rocket
