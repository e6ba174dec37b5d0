// Fuzz target of the records: any bytes are either refused or read into records with places.
#pragma once

#include "fuzz/reader_target.h"
#include "text/record.h"

namespace rocket::fuzz {

inline void records_named(const std::string& name, std::string_view bytes) {
  read_as_file(name, bytes, [&](const std::filesystem::path& folder) {
    std::int64_t last = 0;
    for_each_record(folder / name, {{"answer", "a.b"}}, [&](Record&& record) {
      require(record.line >= last && record.line > 0);
      last = record.line;
      decontamination_key(record);
    });
  });
}

inline void records(std::string_view bytes) {
  records_named("x.jsonl", bytes);
  records_named("x.json", bytes);
}

}  // namespace rocket::fuzz
