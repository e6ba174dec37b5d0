// RUN/events/rank-00000.jsonl: what each rank did, one JSON object a line, for machines to read.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace rocket {

class EventLog {
 public:
  /// Appends to folder/rank-NNNNN.jsonl; an empty folder makes a log that writes nothing. Throws
  /// storage (74), as does write().
  EventLog(const std::filesystem::path& folder, int rank, std::string job);
  /// One line, flushed: {"time": "2025-01-31T23:59:59.123Z", "job": ..., "what": ..., <numbers>}. `numbers`
  /// is a JSON object.
  void write(std::string_view what, const nlohmann::json& numbers);

 private:
  std::filesystem::path path_;
  std::ofstream out_;
  std::string job_;
};

}  // namespace rocket
