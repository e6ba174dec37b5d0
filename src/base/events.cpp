#include "base/events.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/files.h"

namespace rocket {
namespace {

std::string utc_now() {
  const auto now = std::chrono::system_clock::now();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now - seconds).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)), ms);
}

bool ends_inside_a_line(const fs::path& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in || in.tellg() <= 0) {
    return false;
  }
  in.seekg(-1, std::ios::end);
  return in.get() != '\n';
}

}  // namespace

EventLog::EventLog(const std::filesystem::path& folder, int rank, std::string job) : job_(std::move(job)) {
  if (folder.empty()) {
    return;
  }
  make_folders(folder);
  path_ = folder / fmt::format("rank-{:05}.jsonl", rank);
  const bool torn = ends_inside_a_line(path_);
  out_.open(path_, std::ios::binary | std::ios::app);
  // A process that was killed may have left half a line; the next one must not be glued to it.
  if (torn) {
    out_ << '\n';
  }
  if (!out_) {
    fail_storage("cannot write '{}': {}", path_.string(), std::strerror(errno));
  }
}

void EventLog::write(std::string_view what, const nlohmann::json& numbers) {
  if (path_.empty()) {
    return;
  }
  nlohmann::ordered_json line = {{"time", utc_now()}, {"job", job_}, {"what", what}};
  for (const auto& [key, value] : numbers.items()) {
    line[key] = value;
  }
  // Strings may come from anywhere: invalid UTF-8 must not end a job in its own event log.
  out_ << line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n' << std::flush;
  if (!out_) {
    fail_storage("cannot write '{}': {}", path_.string(), std::strerror(errno));
  }
}

}  // namespace rocket
