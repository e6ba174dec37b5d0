// Apache Parquet and Arrow files, through Arrow's C++ library where rocket was built with it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "formats/value_reader.h"

namespace rocket {

/// Whether this program reads Parquet and Arrow files.
bool has_parquet();

/// The rows as objects, a batch in memory at a time: strings (also large and dictionary-encoded ones, and
/// binary columns that hold UTF-8), numbers, booleans, structs, lists and nulls. Columns that none of the
/// `paths` leads into are not read; no paths: all are. Throws data (65) with the file: not built in, no
/// Parquet or damaged, a type that has no place in a record, no column that is asked for.
std::unique_ptr<ValueReader> open_parquet(const std::filesystem::path& file,
                                          const std::vector<std::string>& paths);

/// The same of an Arrow file, in either form of Arrow IPC.
std::unique_ptr<ValueReader> open_arrow(const std::filesystem::path& file,
                                        const std::vector<std::string>& paths);

}  // namespace rocket
